"""Checkpoints: safetensors that carry the recipe and assets that their model is built from.

What a checkpoint is of is read without torch, so that a run that has a record answers at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from mmbench import registry
from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
MODELS = (
    "models"  # of several tasks: what is before the names of tensors that one of them has alone
)
_SCALE = " scale"  # after the name of a tensor in bytes: what stands for its rows' scales


@dataclass(frozen=True)
class Header:
    """What a checkpoint's file says of its weights.

    Attributes:
        recipe, assets, about: see `Checkpoint`.
        path, sha256: the file, and its content's hash.
    """

    recipe: dict[str, Any]
    assets: dict[str, Any]
    about: dict[str, Any]
    path: str
    sha256: str

    @property
    def tasks(self) -> tuple[str, ...]:
        """That its weights answer."""
        return tasks_of(self.about)

    def of(self, task: str) -> Header:
        """What it says of one of its tasks; all that the others share with it of another."""
        recipe, assets, about = _said_of(task, self.recipe, self.assets, self.about)
        return replace(self, recipe=recipe, assets=assets, about=about)


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights and all that is needed to build their model.

    Attributes:
        tensors: by name, as `nn.Module.state_dict` names them.
        recipe: the resolved recipe's settings. Of several tasks the parts that they share, and by
            task (`tasks`) the recipe as it is resolved for each.
        assets: what `Task.assets` gave. Of several tasks the words, and by task (`tasks`) all.
        about: task, dataset, fingerprints, seed and versions that it was trained with. Of several
            tasks, by task (`tasks`) its dataset and fingerprint.
        path, sha256: the file that it was read from, and its content's hash.
    """

    tensors: dict[str, Tensor]
    recipe: dict[str, Any]
    assets: dict[str, Any]
    about: dict[str, Any]
    path: str = ""
    sha256: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """That its weights answer."""
        return tasks_of(self.about)

    def of(self, task: str) -> Checkpoint:
        """What one of its tasks has, by the names of a model of that task alone.

        The fusion that its tasks share is called `fusion`, wherever a model has it. Of a task that
        it was not trained on, what its tasks share.
        """
        if len(self.tasks) == 1:
            return self
        own = f"{MODELS}.{task}."
        tensors = {name.removeprefix(own): tensor for name, tensor in self.tensors.items()}
        recipe, assets, about = _said_of(task, self.recipe, self.assets, self.about)
        return replace(self, tensors=tensors, recipe=recipe, assets=assets, about=about)

    def to_bytes(self) -> bytes:
        """The safetensors file's content."""
        from safetensors.torch import save

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
        import torch

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


def shipped_weights(task: str, dataset: str, model: str) -> Path:
    """Where a recipe's package ships its weights for a dataset."""
    folder = registry.path("recipes", model).parent
    return folder / "weights" / task / dataset / f"{Path(model).stem}.safetensors"


def named_weights(name: str, task: str, what: str) -> Path:
    """The file of a task's checkpoint: at a path, or shipped, named as `scenes/dual_encoder`.

    Args:
        name: of it.
        task: that it is of.
        what: names it, for an error.
    Raises: MMBenchError if there is none.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    dataset, _, model = name.partition("/")
    if model and registry.has("recipes", model):
        shipped = shipped_weights(task, dataset, model)
        if shipped.is_file():
            return shipped
    raise MMBenchError(
        f"{what}: there is no file {name}, and no weights of {task} are shipped under that name. "
        "Give the path of a weights.safetensors, or DATASET/MODEL of shipped ones "
        "(scenes/dual_encoder)"
    )


def tasks_of(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that a checkpoint says its weights answer, one or several."""
    return tuple(about["tasks"]) if "tasks" in about else (str(about.get("task")),)


def _said_of(
    task: str, recipe: Mapping[str, Any], assets: Mapping[str, Any], about: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a checkpoint's recipe, assets and facts say of one of its tasks."""
    several = about.get("tasks", {})
    if task not in several:
        return dict(recipe), dict(assets), dict(about)
    own = {**about, **several[task], "task": task}
    return recipe["tasks"][task], assets["tasks"][task], own


def read_header(path: Path) -> Header:
    """What a checkpoint is of, without its weights.

    Raises: MMBenchError if it is missing, truncated, corrupt, or not one of mmbench's.
    """
    try:
        content = path.read_bytes()
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except OSError as error:
        raise MMBenchError(f"checkpoint {path} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise _corrupt(path, error) from None
    try:
        fields = {k: json.loads(v) for k, v in json.loads(metadata["mmbench"]).items()}
        written_by = fields.pop("format")
        if not all(isinstance(value, dict) for value in fields.values()):
            raise TypeError("recipe, assets and about are mappings")
        header = Header(**fields, path=str(path), sha256=hashlib.sha256(content).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise MMBenchError(
            f"{path} is a safetensors file but not a checkpoint of mmbench: it lacks the metadata "
            "that says how its model is built"
        ) from None
    if written_by != FORMAT:
        raise MMBenchError(
            f"{path} has checkpoint format {written_by}; this mmbench reads {FORMAT}"
        )
    return header


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint from its file; raises as `read_header`."""
    header = read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _corrupt(path, error) from None
    tensors = {
        name: _unscaled(tensor, stored.get(name + _SCALE))
        for name, tensor in stored.items()
        if not name.endswith(_SCALE)
    }
    return Checkpoint(tensors, **vars(header))


def _corrupt(path: Path, error: SafetensorError) -> MMBenchError:
    return MMBenchError(
        f"checkpoint {path} is corrupt or truncated ({error}). Fetch it again or train anew."
    )


def _unscaled(tensor: Tensor, scale: Tensor | None) -> Tensor:
    """A tensor as it was before it was put in bytes."""
    if scale is None:
        return tensor
    return tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
