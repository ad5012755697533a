"""The `TaskModel` contract, and checkpoints of one: safetensors that carry their own recipe."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError

Batch = dict[str, Tensor]

FORMAT = 1
FROZEN = " (frozen)"
_SCALE = " scale"  # after the name of a tensor in bytes: what stands for its rows' scales


@dataclass(frozen=True)
class Stage:
    """A part of a training: what is trained, and how it differs from the recipe's `train`.

    Attributes:
        name: what progress and log call it.
        part: the module that is trained, by its dotted name, while the rest is frozen; None for all
            but the parts of the stages before.
        train: settings of training that differ from the recipe's.
        shared: all that decides its result besides the training data, where neither recipe nor seed
            do otherwise: such a part is trained once for every run of a comparison. None if the
            stage belongs to its run alone.
    """

    name: str
    part: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] | None = None


class TaskModel(nn.Module, ABC):
    """A model composed for a task.

    Its child modules are its parts: parameters are counted by child.

    Attributes:
        reuses_features: whether what `prepare` kept stands for running the frozen encoders. It is
            off while operations are counted, so that those of frozen encoders count too.
        chosen_by: what the weights of an epoch are chosen by on validation: the task's first
            metric, or the loss where answers take too long to be made every epoch.
        stage: the name of the stage that `loss` is asked for.
    """

    chosen_by: ClassVar[Literal["metric", "loss"]] = "metric"
    stage: str = ""
    reuses_features = True

    @abstractmethod
    def collate(self, samples: Sequence[Sample], targets: bool = True) -> Batch:
        """Samples as tensors by name, each distinct input once. Targets only where asked for."""

    @abstractmethod
    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
        """The training loss, a mean over the batch's samples."""

    @abstractmethod
    def answer(self, batch: Batch) -> list[Any]:
        """An answer per sample."""

    def stages(self) -> list[Stage]:
        """How it is trained, in order; the last stage is always of the model itself."""
        return [Stage("")]

    def enter(self, stage: Stage) -> None:
        """Train what this stage trains from now on, and freeze the rest."""
        self.stage = stage.name
        self.zero_grad(set_to_none=True)  # what is frozen now must not count in the clipped norm
        frozen = tuple(f"{other.part}." for other in self.stages() if other.part is not None)
        for name, parameter in self.named_parameters():
            if stage.part:
                parameter.requires_grad_(name.startswith(f"{stage.part}."))
            else:
                parameter.requires_grad_(not name.startswith(frozen))

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Told of all samples before training on them or answering them.

        A model with frozen encoders computes their features here, once.
        """

    def alike(self, batches: Iterable[Batch], count: int) -> Tensor:
        """For each group the others that it is easily taken for, (G, count), the likest first.

        Training asks a model for it that has `train.neighbours`, and refuses one that leaves this
        as it is: a model that does not compare samples with each other.

        Args:
            batches: of all groups in their order, with targets, on the model's device.
            count: how many of each; the group itself may be among them.
        """
        raise NotImplementedError

    def conclude(self, samples: Sequence[Sample], answers: list[Any]) -> list[Any]:
        """The final answers, where they depend on all samples: ranks among all items.

        Args:
            samples: all that were asked.
            answers: what `answer` gave for each.
        """
        return answers

    def notes(self) -> list[str]:
        """What the record should say of the answers just given, besides their scores."""
        return []


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters by part, without double counting of shared ones; the sum is their total.

    Those of frozen networks, which are not among a module's own, are parts ending in FROZEN.
    """
    counts: dict[str, int] = {}
    seen: set[int] = set()
    for name, parameter in model.named_parameters():
        part = _part_of(name)
        if id(parameter) not in seen:
            seen.add(id(parameter))
            counts[part] = counts.get(part, 0) + parameter.numel()
    for name, module in model.named_modules():
        if frozen := getattr(module, "frozen_parameters", 0):
            counts[_part_of(name) + FROZEN] = frozen
    return counts


def _part_of(name: str) -> str:
    keys = name.split(".")
    return ".".join(keys[:2]) if keys[0] == "encoders" else keys[0]


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights and all that is needed to build their model.

    Attributes:
        tensors: by name, as `nn.Module.state_dict` names them.
        recipe: the resolved recipe's settings.
        assets: what `Task.assets` gave.
        about: task, dataset, fingerprints, seed and versions that it was trained with.
        path, sha256: the file that it was read from, and its content's hash.
    """

    tensors: dict[str, Tensor]
    recipe: dict[str, Any]
    assets: dict[str, Any]
    about: dict[str, Any]
    path: str = ""
    sha256: str = ""

    def to_bytes(self) -> bytes:
        """The safetensors file's content."""
        metadata = {
            "format": FORMAT,
            "recipe": self.recipe,
            "assets": self.assets,
            "about": self.about,
        }
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()
        }
        text = {k: json.dumps(v, sort_keys=True) for k, v in metadata.items()}
        return save(tensors, {"mmbench": json.dumps(text, sort_keys=True)})

    def half(self) -> Checkpoint:
        """With floating-point tensors in float16, as weights are shipped."""
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in self.tensors.items()}
        return Checkpoint(tensors, self.recipe, self.assets, self.about)

    def in_bytes(self) -> Checkpoint:
        """With a byte a weight in matrices, and a scale a row: half the size of `half`."""
        tensors = self.half().tensors
        for name, tensor in self.tensors.items():
            if tensor.is_floating_point() and tensor.ndim >= 2:
                rows = tensor.detach().float().flatten(1)
                scale = rows.abs().amax(1).clamp(min=1e-12) / 127
                tensors[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
                tensors[name + _SCALE] = scale
        return Checkpoint(tensors, self.recipe, self.assets, self.about)

    def restore(self, model: nn.Module) -> None:
        """Put the weights into a model.

        Raises: MMBenchError that says which tensors are missing, unknown or of another shape.
        """
        expected = model.state_dict()
        problems = [f"{k} is missing" for k in expected if k not in self.tensors]
        problems += [f"{k} is not of this model" for k in self.tensors if k not in expected]
        problems += [
            f"{k} is {tuple(self.tensors[k].shape)} where the model has {tuple(v.shape)}"
            for k, v in expected.items()
            if k in self.tensors and self.tensors[k].shape != v.shape
        ]
        if problems:
            more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise MMBenchError(
                f"{self.path} does not fit the recipe: {'; '.join(problems[:3])}{more}. "
                "Name the recipe that it was trained with, or train anew with --train."
            )
        model.load_state_dict({k: v.to(expected[k].dtype) for k, v in self.tensors.items()})


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint from its file.

    Raises: MMBenchError if it is missing, truncated, corrupt, or not one of mmbench's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MMBenchError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tensors = {
            name: _unscaled(tensor, stored.get(name + _SCALE))
            for name, tensor in stored.items()
            if not name.endswith(_SCALE)
        }
    except SafetensorError as error:
        raise MMBenchError(
            f"checkpoint {path} is corrupt or truncated ({error}). Fetch it again or train anew."
        ) from None
    try:
        fields = {k: json.loads(v) for k, v in json.loads(metadata["mmbench"]).items()}
        written_by = fields.pop("format")
        checkpoint = Checkpoint(
            tensors, **fields, path=str(path), sha256=hashlib.sha256(content).hexdigest()
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise MMBenchError(
            f"{path} is a safetensors file but not a checkpoint of mmbench: it lacks the metadata "
            "that says how its model is built"
        ) from None
    if written_by != FORMAT:
        raise MMBenchError(
            f"{path} has checkpoint format {written_by}; this mmbench reads {FORMAT}"
        )
    return checkpoint


def _unscaled(tensor: Tensor, scale: Tensor | None) -> Tensor:
    """A tensor as it was before it was put in bytes."""
    if scale is None:
        return tensor
    return tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))


def move(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
