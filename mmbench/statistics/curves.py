"""Curves of a metric under growing damage: the area under them, and what is robust about it.

Source: Liang et al., MultiBench, NeurIPS 2021 (arXiv 2107.07502), whose code
(github.com/pliang279/MultiBench, `eval_scripts/robustness.py`) these match: relative robustness is
the area under the curve by the trapezoidal rule, scaled so that 0 is the worst and 1 the best of
the methods compared; effective robustness is what a method keeps beyond a late fusion that starts
from the same value, sum_k f_k - (l_k + f_0 - l_0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmbench.statistics.bootstrap import FloatArray
from mmbench.statistics.measured import Measured


@dataclass
class Combination:
    """A weighted sum of values of one metric: see `mmbench.statistics.measured.Quantity`."""

    name: str
    higher_is_better: bool
    bounds: tuple[float, float]
    scale: float
    recentred: bool


def area_weights(points: int) -> FloatArray:
    """What each of so many equally distant points weighs in the area under a curve from 0 to 1.

    >>> area_weights(3).tolist()
    [0.25, 0.5, 0.25]
    """
    weights = np.full(points, 1.0 / (points - 1))
    weights[[0, -1]] /= 2
    return weights


def kept_weights(points: int) -> FloatArray:
    """What each point weighs in the sum of all points' changes since the first.

    >>> kept_weights(3).tolist()
    [-2.0, 1.0, 1.0]
    """
    weights = np.ones(points)
    weights[0] -= points
    return weights


def combined(points: Sequence[Measured], weights: FloatArray, name: str) -> Measured:
    """A weighted sum of measured values of one model, on the same draws.

    Args:
        points: of the same runs and samples.
        weights: one each.
        name: of what it is.
    """
    first = points[0]
    low, high = first.metric.bounds
    ends = [sorted((w * low, w * high)) if w else (0.0, 0.0) for w in weights.tolist()]
    sums = [p.sums for p in points]
    known = [s for s in sums if s is not None]
    return Measured(
        model=first.model,
        metric=Combination(
            name=name,
            higher_is_better=first.metric.higher_is_better,
            bounds=(math.fsum(a for a, _ in ends), math.fsum(b for _, b in ends)),
            scale=first.metric.scale,
            recentred=first.metric.recentred,
        ),
        dataset=first.dataset,
        seeds=first.seeds,
        values=np.tensordot(weights, np.stack([p.values for p in points]), 1),
        replicates=np.tensordot(weights, np.stack([p.replicates for p in points]), 1),
        groups=first.groups,
        size=first.size,
        known=min(p.known for p in points),
        sums=np.tensordot(weights, np.stack(known), 1) if len(known) == len(sums) else None,
    )


def relative_to_others(areas: Mapping[str, float], higher_is_better: bool) -> dict[str, float]:
    """Areas by model, scaled so that the worst is 0 and the best 1; none where all are equal.

    >>> relative_to_others({"a": 0.5, "b": 0.75, "c": 0.6}, higher_is_better=True)["b"]
    1.0
    """
    worst, best = min(areas.values(), default=0.0), max(areas.values(), default=0.0)
    if worst == best:
        return {}
    scaled = {model: (area - worst) / (best - worst) for model, area in areas.items()}
    return scaled if higher_is_better else {model: 1 - x for model, x in scaled.items()}
