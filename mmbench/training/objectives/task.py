"""The task's own loss: what a model is trained by in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Decision, Losses, TaskModel, move
from mmbench.recipe import Part, Train
from mmbench.training.balance.build import build_balance
from mmbench.training.objectives.base import Epoch, Objective


class TaskLoss(Objective):
    """The task's own loss, as its model gives it.

    In training each sample loses contexts as `train.modality_dropout` says, and a recipe's
    `balance` keeps the modalities in balance; where the loss chooses the epoch, it is without both.

    Args:
        model: to be trained.
        settings: of the stage's training.
        balance: the recipe's.
    Raises: MMBenchError if the model has no contexts to drop, or cannot be balanced.
    """

    def __init__(self, model: TaskModel, settings: Train, balance: Part | None = None) -> None:
        super().__init__()
        self._label_smoothing = settings.label_smoothing
        self._dropout = settings.modality_dropout
        if self._dropout and not model.fused_contexts:
            raise MMBenchError(
                "train.modality_dropout drops modalities that a fusion joins to its query, and "
                "this model fuses none: leave it at 0"
            )
        self.balance = None if balance is None else build_balance(balance, model)

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """As the model needs it."""
        model.prepare_training(samples)

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """As the model collates; and in training what the samples keep."""
        batch = model.collate_training(samples, rng)
        if self._dropout and self.training:
            batch |= model.contexts_kept(samples, self._dropout, rng)
        return batch

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """The model's own; in training as the balancing method has them."""
        if self.balance is None or not self.training:
            return model.losses(batch, self._label_smoothing)
        return self.balance.losses(model, model.decide(batch, self._label_smoothing))

    def why_one_process(self, model: TaskModel) -> str:
        if self.balance is not None:
            return "a balance looks at the gradients of a whole batch"
        if type(model).terms is TaskModel.terms:
            return "this model's loss may compare the samples of a batch with each other"
        return ""

    def terms(self, model: TaskModel, batch: Batch) -> Mapping[str, Tensor | int]:
        return model.terms(batch)

    def before_epoch(self, model: TaskModel, epoch: Epoch) -> None:
        if self.balance is None:
            return

        def look(samples: Sequence[Sample], at_most: int | None) -> Iterator[Decision]:
            return _decisions(model, samples, at_most, epoch)

        model.eval()
        self.eval()
        with torch.inference_mode():
            self.balance.before_epoch(model, epoch, look)

    def after_backward(self, model: TaskModel) -> None:
        if self.balance is not None:
            self.balance.after_backward(model)


def _decisions(
    model: TaskModel, samples: Sequence[Sample], at_most: int | None, epoch: Epoch
) -> Iterator[Decision]:
    """The model's decisions about samples, the same ones in the same order each time.

    Args:
        at_most: samples, about; all if None.
    """
    count = 0
    for step, chosen in enumerate(GroupBatches(samples, epoch.batch, seed=0).epoch()):
        if at_most is not None and count >= at_most:
            return
        count += len(chosen)
        batch = model.collate_training(chosen, np.random.default_rng([0, step]))
        yield model.decide(move(batch, epoch.device))
