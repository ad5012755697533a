"""The `Objective` contract: what a stage of training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel
from mmbench.published_checkpoint import identified
from mmbench.recipe import Recipe, digest
from mmbench.versions import part_version
from mmbench.zoo.encoders.base import Encoder


@dataclass(frozen=True)
class Epoch:
    """What an objective is told of an epoch that begins.

    Attributes:
        number: from 0.
        epochs: how many there are.
        train, validation: the stage's samples.
        batch: groups a batch.
        device: where the model is.
    """

    number: int
    epochs: int
    train: Sequence[Sample]
    validation: Sequence[Sample]
    batch: int
    device: torch.device


@dataclass(frozen=True)
class Mean:
    """A mean, in parts that can be added up over batches.

    Attributes:
        total: (), the sum of what the mean is of.
        count: (), how many there are.
        perplexity: whether exp of the mean is what a person wants to know, and not a share.
    """

    total: Tensor
    count: Tensor
    perplexity: bool = False


class Objective(nn.Module, ABC):
    """Losses of a model on a batch of samples.

    Registered under `mmbench.objectives` and named by a recipe's stages. One is made for each stage
    and lives as long as that: its own parameters (a projection head) are trained beside the model's
    and thrown away, its buffers (a queue, a momentum copy) are kept while a stage is resumed.

    The model is handed to each call and is not a submodule of it. A constructor takes `model` if it
    needs sizes, `settings` (the stage's `Train`) if it needs them, and options of its own; it
    raises MMBenchError for a model that it cannot train.

    Attributes:
        reaches: parts of the model that its gradient can reach, by dotted name; None for any.
        reads_texts: whether it may read texts, whose words the model must then know.
        version: raised when the same recipe comes to train otherwise.
    """

    reads_texts: bool = True
    reaches: tuple[str, ...] | None = None
    version: int = 1

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Raise MMBenchError if the samples of a stage lack what it reads.

        Called for every stage, with its samples of training, before the first one begins.
        """

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Called with all samples of the stage, those of validation too, before it begins."""

    @abstractmethod
    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Samples as tensors by name, on the CPU.

        Args:
            rng: whatever is drawn is drawn from it, and never from torch's own generator: the next
                batch may be made, in another thread, while this one trains.
        """

    @abstractmethod
    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """Losses by name, each a scalar on the device. In float32, whatever autocast does.

        Gradients are not asked for in here: under `--compile` they would come out wrong.
        """

    def why_one_process(self, model: TaskModel) -> str:
        """Why several processes cannot train it, each on a share of every batch; "" if they can."""
        return "it may compare the samples of a batch with each other"

    def terms(self, model: TaskModel, batch: Batch) -> Mapping[str, Tensor | int]:
        """By the name of a loss, of how many terms it is the mean; others under "".

        So the mean over a batch is found of the means over its shares, where several processes
        train it. Of an objective that one process trains it is not asked.
        """
        raise NotImplementedError

    def measured(self, model: TaskModel, batch: Batch) -> Mapping[str, Mean]:
        """What a person wants to know besides the loss, such as a perplexity, of a batch.

        Asked on validation, in evaluation mode, once the stage is trained.
        """
        return {}

    def before_epoch(self, model: TaskModel, epoch: Epoch) -> None:
        """Called before each epoch; what it keeps for later ones must be a buffer."""

    def after_backward(self, model: TaskModel) -> None:
        """Called when a step's gradients are there, before they are clipped: to change them."""

    def after_step(self, model: TaskModel) -> None:
        """Called after each step of the optimizer: to move a momentum copy, to fill a queue."""

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        """All that decides what this trains, where no later choice in the recipe can change it.

        As plain JSON; that is, what says how the parts that it reads compute. Training samples,
        settings, options and initial weights are added by whoever asks. What is so trained is
        kept, and taken by every run that has the same. None if it belongs to its run alone.
        """
        return None


def encoder_of(model: TaskModel, modality: str, objective: str) -> Encoder:
    """The model's encoder of a modality.

    Args:
        objective: the name of what needs it, for an error.
    Raises: MMBenchError if the model has none.
    """
    encoders = encoders_of(model)
    if modality not in encoders:
        raise MMBenchError(
            f"{objective} trains an encoder for {modality}, which this model does not have: "
            f"it has {', '.join(encoders) or 'none'}"
        )
    return encoders[modality]


def encoders_of(model: TaskModel) -> dict[str, Encoder]:
    """The model's encoders by modality."""
    encoders = dict(model.named_children()).get("encoders")
    found = encoders.items() if isinstance(encoders, nn.ModuleDict) else ()
    return {modality: part for modality, part in found if isinstance(part, Encoder)}


def encoder_facts(model: TaskModel, recipe: Recipe, modality: str) -> dict[str, Any]:
    """All that decides what an encoder computes but its weights, for `Objective.shared`."""
    part = recipe.encoders[modality]
    assert part is not None  # the model has such an encoder
    facts: dict[str, Any] = {
        "encoder": part.model_dump() | {"options": identified("encoders", part)},
        "version": part_version("encoders", part.name),
        "width": recipe.width,
    }
    words = getattr(getattr(model, "vocabulary", None), "words", None)
    return facts | {"words": digest(words)} if modality == "text" and words else facts
