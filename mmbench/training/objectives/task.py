"""The task's own loss: what a model is trained by in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbench.data.sample import Sample
from mmbench.model import Batch, Losses, TaskModel
from mmbench.recipe import Train
from mmbench.training.objectives.base import Objective


class TaskLoss(Objective):
    """The task's own loss, as its model gives it."""

    def __init__(self, settings: Train) -> None:
        super().__init__()
        self._label_smoothing = settings.label_smoothing

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """As the model needs it."""
        model.prepare_training(samples)

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """As the model collates."""
        return model.collate_training(samples, rng)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """The model's own."""
        return model.losses(batch, self._label_smoothing)
