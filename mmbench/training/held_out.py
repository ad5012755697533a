"""What a stage's objectives say of samples that it is not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample
from mmbench.model import TaskModel
from mmbench.training.objectives.weighted import Batches, WeightedObjectives, moved, total


def mean_loss(
    model: TaskModel,
    objectives: WeightedObjectives,
    samples: Sequence[Sample],
    batch: int,
    device: torch.device,
) -> float:
    """The loss over samples, in evaluation mode; whatever is drawn is drawn alike every time.

    Args:
        batch: groups a batch, whatever that of inference is: a loss may depend on it.
    """
    sum_of_losses = torch.zeros((), device=device)
    with _looking(model, objectives, device):
        for count, collated in _batches(model, objectives, samples, batch, device):
            sum_of_losses += total(objectives.losses(model, collated)) * count
    return sum_of_losses.item() / len(samples)


def measured(
    model: TaskModel,
    objectives: WeightedObjectives,
    samples: Sequence[Sample],
    batch: int,
    device: torch.device,
) -> dict[str, float]:
    """By name, what the objectives tell besides the loss (`Objective.measured`), over samples.

    Args: as of `mean_loss`.
    """
    if not objectives.measures:
        return {}
    totals: dict[str, Tensor] = {}
    perplexities = set()
    with _looking(model, objectives, device):
        for _, collated in _batches(model, objectives, samples, batch, device):
            for name, mean in objectives.measured(model, collated).items():
                part = torch.stack([mean.total.double(), mean.count.double()])
                totals[name] = totals.get(name, 0) + part
                perplexities |= {name} if mean.perplexity else set()
    found = {}
    for name, parts in totals.items():
        value, count = parts.tolist()
        mean_value = value / count if count else math.nan
        found[name] = math.exp(mean_value) if name in perplexities else mean_value
    return {name: value for name, value in found.items() if math.isfinite(value)}


@contextmanager
def _looking(
    model: TaskModel, objectives: WeightedObjectives, device: torch.device
) -> Iterator[None]:
    model.eval()
    objectives.eval()
    devices = [device] if device.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        yield


def _batches(
    model: TaskModel,
    objectives: WeightedObjectives,
    samples: Sequence[Sample],
    batch: int,
    device: torch.device,
) -> Iterator[tuple[int, Batches]]:
    """How many samples each batch has, and what the objectives read of it, on the device."""
    for step, chosen in enumerate(GroupBatches(samples, batch).epoch()):
        collated = objectives.collate(model, chosen, np.random.default_rng([0, step]))
        yield len(chosen), moved(collated, device)
