"""The batches of a training: of groups drawn at random, or of groups that are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from mmbench.data.batches import GroupBatches, IntArray
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import TaskModel
from mmbench.recipe import Train
from mmbench.training.mining import alike_order, runs_in_order


class Batched(Protocol):
    """Samples in batches, anew each epoch; an epoch's depend on its number and the weights."""

    def __len__(self) -> int:
        """How many batches an epoch has."""

    def begin(self, epoch: int) -> None:
        """An epoch begins, with the weights that the model has now."""

    def epoch(self, epoch: int) -> Iterator[list[Sample]]:
        """The batches of the epoch that has begun."""


class StageBatches:
    """The batches of one model's training, in which groups stay whole.

    Args:
        model: that is trained, on the device.
        samples: to train on.
        settings: of the training: `batch`, and which groups stand together (`neighbours`).
        seed: of the order.
        device: where the model is.
    Raises: MMBenchError if the settings ask for neighbours that the model cannot find or a batch
        cannot hold.
    """

    def __init__(
        self,
        model: TaskModel,
        samples: Sequence[Sample],
        settings: Train,
        seed: int,
        device: torch.device,
    ) -> None:
        _check_neighbours(model, settings)
        self._model = model
        self._samples = samples
        self._settings = settings
        self._seed = seed
        self._device = device
        self._drawn = GroupBatches(samples, settings.batch, seed=seed)
        self._order: IntArray | None = None

    def __len__(self) -> int:
        return len(self._drawn)

    def begin(self, epoch: int) -> None:
        """Find the groups that are alike, where the settings ask for these."""
        settings = self._settings
        self._order = None
        if settings.neighbours == 1 or epoch < settings.neighbours_from * settings.epochs:
            return
        rng = np.random.default_rng([self._seed, epoch])
        if settings.neighbours_by == "order":
            self._order = runs_in_order(self._drawn.groups, settings.neighbours, rng)
        else:
            self._order = alike_order(
                self._model,
                self._samples,
                settings.batch,
                settings.neighbours,
                self._device,
                rng,
            )

    def epoch(self, epoch: int) -> Iterator[list[Sample]]:
        return self._drawn.epoch(epoch, self._order)

    def drawn(self, number: int) -> Iterator[list[Sample]]:
        """Batches of all samples, whose groups are drawn at random by this number."""
        return self._drawn.epoch(number)


def _check_neighbours(model: TaskModel, settings: Train) -> None:
    if settings.batch % settings.neighbours:
        raise MMBenchError(
            f"train.neighbours must divide train.batch: {settings.neighbours} does not divide "
            f"{settings.batch}"
        )
    mined = settings.neighbours > 1 and settings.neighbours_by == "model"
    if mined and type(model).alike is TaskModel.alike:
        raise MMBenchError(
            "train.neighbours is for models that compare samples with each other, as those of "
            "retrieval do. Leave it at 1."
        )
