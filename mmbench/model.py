"""The `TaskModel` contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.data.sample import Sample
from mmbench.recipe import FROZEN

Batch = dict[str, Tensor]


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
        stage: the name of the stage that `loss` is asked for.
    """

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


def move(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
