"""The objectives of a stage, together: one batch for each, and one sum of weighted losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel, move
from mmbench.recipe import Part, Recipe, Train
from mmbench.stages import TASK, Stage, is_within
from mmbench.training.objectives.base import Epoch, Mean, Objective
from mmbench.versions import part_version
from mmbench.zoo.part import build_part

Batches = dict[str, Batch]  # by objective


class WeightedObjectives(nn.Module):
    """What a stage minimises.

    Args:
        stage: names them and their weights.
        model: that they train.
        settings: of the stage's training.
        balance: the recipe's, for the task's own loss.
    Raises: MMBenchError for an objective that does not exist, or cannot train this model; a balance
        of what is not the task's own loss alone.
    """

    def __init__(
        self, stage: Stage, model: TaskModel, settings: Train, balance: Part | None = None
    ) -> None:
        super().__init__()
        self._stage = stage
        self._parts = nn.ModuleDict()
        context = {"model": model, "settings": settings, "balance": balance}
        for name, asked in stage.objective.items():
            part = build_part("objectives", name, asked.options, **context)
            if not isinstance(part, Objective):
                raise MMBenchError(f"the objective {name} is not an mmbench.training Objective")
            self._parts[name.replace(".", "/")] = part  # torch's names of modules have no dots

        weighs = TASK in stage.objective and stage.objective[TASK].weight != 1
        if balance is not None and TASK in self._parts and (weighs or not self.only_task):
            raise MMBenchError(
                f"balance: {balance.name} changes the gradients of the task's own loss: the stage "
                f"{stage.name} must minimise task alone, with a weight of 1"
            )

    @property
    def only_task(self) -> bool:
        """Whether the task's own loss is all there is."""
        return list(self._parts) == [TASK]

    @property
    def measures(self) -> bool:
        """Whether any of them tells something besides its loss."""
        return any(type(part).measured is not Objective.measured for _, part in self._each())

    def _each(self) -> list[tuple[str, Objective]]:
        parts = zip(self._stage.objective, self._parts.values(), strict=True)
        return [(name, part) for name, part in parts if isinstance(part, Objective)]

    def reach(self, name: str) -> bool:
        """Whether a gradient can reach a tensor of the model by this dotted name."""
        return any(
            objective.reaches is None or any(is_within(name, part) for part in objective.reaches)
            for _, objective in self._each()
        )

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Raise MMBenchError if the samples of the stage lack what an objective reads."""
        for _, objective in self._each():
            objective.check(model, samples)

    def measured(self, model: TaskModel, batches: Batches) -> dict[str, Mean]:
        """What the objectives tell besides their losses, by their names where there are several."""
        several = len(self._parts) > 1
        return {
            f"{name}.{key}" if several else key: mean
            for name, objective in self._each()
            for key, mean in objective.measured(model, batches[name]).items()
        }

    def prepare(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        """Called with all samples of the stage before it begins."""
        for _, objective in self._each():
            objective.prepare(model, samples)

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batches:
        """The batch of each objective; what one draws changes nothing of another's."""
        each = self._each()
        rngs = rng.spawn(len(each)) if len(each) > 1 else [rng]
        return {
            name: objective.collate(model, samples, own)
            for (name, objective), own in zip(each, rngs, strict=True)
        }

    def losses(self, model: TaskModel, batches: Batches) -> Losses:
        """Weighted losses by name: `nt_xent`, or `simclr.nt_xent` where there are several."""
        found: Losses = {}
        for name, objective in self._each():
            weight = self._stage.objective[name].weight
            prefix = f"{name}." if len(self._parts) > 1 else ""
            for key, loss in objective.losses(model, batches[name]).items():
                found[prefix + key] = loss if weight == 1 else weight * loss
        return found

    def terms(self, model: TaskModel, batches: Batches) -> dict[str, Tensor | int]:
        """Of how many terms each loss is the mean, where several processes train (`Objective`)."""
        ((name, objective),) = self._each()  # `why_one_process` is why there are no others
        return dict(objective.terms(model, batches[name]))

    def why_one_process(self, model: TaskModel) -> str:
        """Which of them several processes cannot train, and why; "" if they can train all."""
        for name, objective in self._each():
            if why := objective.why_one_process(model):
                return f"the objective {name}: {why}"
        return "" if len(self._parts) == 1 else "a stage of several objectives"

    def before_epoch(self, model: TaskModel, epoch: Epoch) -> None:
        """Called before each epoch."""
        for _, objective in self._each():
            objective.before_epoch(model, epoch)

    def after_backward(self, model: TaskModel) -> None:
        """Called when a step's gradients are there, before they are clipped."""
        for _, objective in self._each():
            objective.after_backward(model)

    def after_step(self, model: TaskModel) -> None:
        """Called after each step of the optimizer."""
        for _, objective in self._each():
            objective.after_step(model)

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any] | None:
        """All that decides what they train, where no later choice can change it; else None."""
        found = {}
        for name, objective in self._each():
            decides = objective.shared(model, recipe)
            if decides is None:
                return None
            asked = self._stage.objective[name]
            found[name] = {
                "version": part_version("objectives", name),
                **asked.model_dump(),
                "reads": decides,
            }
        return found


def total(losses: Losses) -> Tensor:
    """Their sum, a scalar."""
    first, *others = losses.values()
    return first if not others else torch.stack([first, *others]).sum()


def moved(batches: Batches, device: torch.device) -> Batches:
    """The batches on a device."""
    return {name: move(batch, device) for name, batch in batches.items()}
