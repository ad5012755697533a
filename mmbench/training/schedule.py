"""Learning-rate schedules, by torch's schedulers.

Source: one_cycle: Smith and Topin, Super-Convergence, 2017 (arXiv 1708.07120), with cosine
annealing; cosine: Loshchilov and Hutter, SGDR, 2017 (arXiv 1608.03983), eq. 5, one period.
"""

from __future__ import annotations

import warnings

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

_START, _END = 1 / 25, 1e-4  # of the highest rate, where one_cycle begins and where it ends


def scheduler_for(
    optimizer: Optimizer, schedule: str, steps: int, warmup: float, done: int = 0
) -> LRScheduler:
    """The scheduler of a training, whose `step` is called after each step.

    Every step trains: the rate is neither 0 at the first nor at the last.

    Args:
        optimizer: with the highest learning rate.
        schedule: "one_cycle", "cosine" or "constant".
        steps: of the whole training.
        warmup: share of the steps in which the rate rises: linearly, for one_cycle by a cosine.
        done: steps that were taken before, in an earlier sitting.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> scheduler_for(optimizer, "cosine", 10, 0.2).get_last_lr()
    [0.5]
    """
    rising = round(steps * warmup)
    highest = optimizer.param_groups[0]["lr"]
    scheduler: LRScheduler
    if schedule == "one_cycle" and rising:
        scheduler = OneCycleLR(
            optimizer,
            max_lr=highest,
            total_steps=steps + 1,
            pct_start=(rising + 1) / (steps + 1),
            div_factor=1 / _START,
            final_div_factor=_START / _END,
            cycle_momentum=False,
        )
    elif schedule == "one_cycle":
        scheduler = CosineAnnealingLR(optimizer, steps, _END * highest)
    else:
        scheduler = LinearLR(optimizer, 1 / max(1, rising), total_iters=max(0, rising - 1))
        if schedule == "cosine":
            falling = CosineAnnealingLR(optimizer, max(1, steps - rising))
            scheduler = SequentialLR(optimizer, [scheduler, falling], [rising])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no step of the optimizer came between
        for _ in range(done):
            scheduler.step()
    return scheduler
