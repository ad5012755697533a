"""Learning-rate schedules, as multipliers of the highest rate.

Source: one_cycle: Smith and Topin, Super-Convergence, 2017 (arXiv 1708.07120), with cosine
annealing as in torch.optim.lr_scheduler.OneCycleLR; cosine: Loshchilov and Hutter, SGDR, 2017
(arXiv 1608.03983), eq. 5, one period.

The libraries' schedulers give the same rates to 1e-6, but not by themselves: that of torch divides
by zero where nothing warms up, and that of transformers spends the first step at a rate of 0. A
function of the step also needs no state of its own where a training goes on.
"""

from __future__ import annotations

import math


def learning_rate_factor(schedule: str, step: int, steps: int, warmup: float) -> float:
    """What the highest learning rate is multiplied by at a step.

    Args:
        schedule: "one_cycle", "cosine" or "constant".
        step: from 0 to steps - 1.
        steps: of the whole training.
        warmup: share of the steps in which the rate rises: linearly, for one_cycle by a cosine.

    >>> [round(learning_rate_factor("cosine", step, 10, 0.2), 3) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.038]
    """
    rising = round(steps * warmup)
    start, end = (1 / 25, 1e-4) if schedule == "one_cycle" else (0.0, 0.0)
    if step < rising:
        done = step / rising if schedule == "one_cycle" else (step + 1) / rising
        return _cosine(start, 1.0, done) if schedule == "one_cycle" else done
    if schedule == "constant":
        return 1.0
    return _cosine(1.0, end, (step - rising) / max(1, steps - rising))


def _cosine(start: float, end: float, done: float) -> float:
    """From start to end along half a cosine; done from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
