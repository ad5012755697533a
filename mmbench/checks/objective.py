"""What every objective must keep: see `mmbench.training.objectives.base.Objective`.

It is tried on a small model of the task vqa, with an image and a text encoder. Each check is a
function of a way to make one: `make(seed)` gives the model, the objective and samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmbench import registry
from mmbench.checks.contract import Make, require, require_finite
from mmbench.checks.task import Tried
from mmbench.data.sample import Sample
from mmbench.model import TaskModel
from mmbench.recipe import Train
from mmbench.stages import is_within
from mmbench.training.objectives.base import Objective
from mmbench.zoo.part import build_part

_SAMPLES = 12
_WIDTH = 16

Made = tuple[TaskModel, Objective, Sequence[Sample]]


def objective_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make an objective: `make(seed=0)`.

    Args:
        name: registered.
        options: as a recipe's stage has them.
        width: of the model; 16 if None.
    """
    tried = Tried(registry.load("tasks", "vqa")(), width or _WIDTH)

    def make(seed: int = 0) -> Made:
        model, samples = tried.model(seed), tried.samples("train")[:_SAMPLES]
        found: Objective = build_part(
            "objectives", name, options, model=model, settings=Train(), balance=None
        )
        found.prepare(model, samples)
        return model, found, samples

    return make


def _losses(made: Made, seed: int = 0) -> Mapping[str, torch.Tensor]:
    model, objective, samples = made
    batch = objective.collate(model, samples, np.random.default_rng(seed))
    return objective.losses(model, batch)


def check_losses(make: Make) -> None:
    """Its losses are finite scalars, by name."""
    made = make()
    require(isinstance(made[1], Objective), f"{type(made[1]).__name__} is no Objective")
    losses = _losses(made)
    require(bool(losses), "it gives no loss")
    for key, loss in losses.items():
        require(loss.ndim == 0, f"the loss {key} is {tuple(loss.shape)}, due is a scalar")
        require_finite(loss, f"the loss {key}")


def check_draws(make: Make) -> None:
    """`collate` draws from the generator that it is given alone: the same one, the same batch."""
    model, objective, samples = make()
    state = torch.random.get_rng_state()
    one = objective.collate(model, samples, np.random.default_rng(3))
    require(torch.equal(state, torch.random.get_rng_state()), "`collate` draws from torch's own")
    two = objective.collate(model, samples, np.random.default_rng(3))
    for key in one:
        same = torch.equal(one[key], two[key]) if isinstance(one[key], torch.Tensor) else True
        require(same, f"with the same generator, {key} of its batch differs")


def check_gradients(make: Make) -> None:
    """Gradients reach its own parameters, and of the model's those that `reaches` says, if any."""
    made = make()
    model, objective, _ = made
    model.train(), objective.train()
    torch.stack(list(_losses(made).values())).sum().backward()
    for key, parameter in objective.named_parameters():
        require(parameter.grad is not None, f"its parameter {key} gets no gradient")
    reached = [key for key, parameter in model.named_parameters() if parameter.grad is not None]
    require(bool(reached), "no gradient reaches the model")
    beyond = [
        key
        for key in reached
        if objective.reaches is not None and not any(is_within(key, p) for p in objective.reaches)
    ]
    require(not beyond, f"gradients reach {beyond[:3]}, which `reaches` does not say")


CHECKS = (check_losses, check_draws, check_gradients)
