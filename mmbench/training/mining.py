"""Batches with groups that are alike, from which a contrastive loss learns most.

Source: Xiong et al., Approximate Nearest Neighbor Negative Contrastive Learning (ANCE), 2021
(arXiv 2007.00808): negatives that the model of now finds nearest, among all; put into one batch as
by Yuksekgonul et al., When and Why Vision-Language Models Behave like Bags-of-Words, 2023 (arXiv
2210.01936), sec. 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mmbench.data.batches import GroupBatches, IntArray
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import TaskModel, move

_NEAR = 8  # times `size` of them are looked at, since some are taken


def alike_order(
    model: TaskModel,
    samples: Sequence[Sample],
    batch: int,
    size: int,
    device: torch.device,
    rng: np.random.Generator,
) -> IntArray:
    """An order (G,) of the groups of samples in which runs of `size` are alike.

    Args:
        model: on the device; it is in evaluation mode afterwards.
        samples: of G groups.
        batch: groups that the model is shown at a time.
        size: groups in a run.
        device: where the model is.
        rng: draws what the model draws of samples, who chooses first, and the order of the runs.
    Raises: MMBenchError if the groups are not what the model compares.
    """
    batches = GroupBatches(samples, batch)
    model.eval()
    with torch.inference_mode():
        shown = (move(model.collate_training(chosen, rng), device) for chosen in batches.epoch())
        near = model.alike(shown, _NEAR * size).cpu().numpy()
    if len(near) != batches.groups:
        raise MMBenchError(
            f"train.neighbours needs one medium in each group; {batches.groups:,} groups have "
            f"{len(near):,}"
        )
    return runs_of_alike(near, size, rng)


def runs_of_alike(near: npt.NDArray[np.int64], size: int, rng: np.random.Generator) -> IntArray:
    """An order (G,) in which runs of `size` are alike.

    One after the other, in random order, takes the nearest that are not taken yet. Those that find
    too few come last, in random order.

    Args:
        near: (G, K), for each the others that are most like it, the nearest first.
        size: of a run.
        rng: draws the order.
    """
    free = np.ones(len(near), np.bool_)
    runs: list[list[int]] = []
    for chooser in rng.permutation(len(near)):
        if not free[chooser]:
            continue
        others = near[chooser][free[near[chooser]] & (near[chooser] != chooser)][: size - 1]
        if len(others) == size - 1:
            runs.append([chooser, *others])
            free[runs[-1]] = False
    found = np.array(runs, np.int64).reshape(-1, size)
    return np.concatenate([rng.permutation(found).ravel(), rng.permutation(np.flatnonzero(free))])


def runs_in_order(groups: int, size: int, rng: np.random.Generator) -> IntArray:
    """An order (G,) in which runs of `size` groups that follow each other stay together.

    Groups beyond the last whole run come last.
    """
    whole = groups // size * size
    runs = np.arange(whole).reshape(-1, size)
    return np.concatenate([rng.permutation(runs).ravel(), np.arange(whole, groups)])
