"""Paired tests between two systems on the same samples, for any metric, by group.

Both work on the systems' statistics per sample: nothing is predicted or scored again. Groups (an
image with its questions) are redrawn, or swapped, whole.

Source: Riezler and Maxwell, On Some Pitfalls in Automatic Evaluation and Significance Testing for
MT, 2005 (approximate randomisation; the bootstrap shifted to the null hypothesis); Davison and
Hinkley, Bootstrap Methods and their Application, 1997, ch. 4 (the +1 of Monte Carlo tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mmbench.statistics.bootstrap import (
    BLOCK,
    FloatArray,
    IntArray,
    Interval,
    bootstrap_replicates,
    percentile_interval,
)


class Resampled(Protocol):
    """What a metric must have to be tested."""

    def aggregate(self, statistics: FloatArray) -> float:
        """The value over the samples whose statistics (N, k) are given."""

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The values (R,) with group g, of groups (N,), taken weights[r, g] times."""


@dataclass(frozen=True)
class PairedTest:
    """Two systems compared.

    Attributes:
        a: value of the first.
        b: value of the second.
        difference: a - b.
        interval: of the difference, both being redrawn together.
        p_value: two-sided; how often a difference as large comes about where there is none.
        method: which test.
        replicates: how many resamples or swaps the p-value rests on; it is at least 1 / (R + 1).
        groups: how many groups were redrawn or swapped.
    """

    a: float
    b: float
    difference: float
    interval: Interval
    p_value: float
    method: str
    replicates: int
    groups: int


def paired_bootstrap_test(
    metric: Resampled,
    a: FloatArray,
    b: FloatArray,
    groups: IntArray,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> PairedTest:
    """Test of a difference by redrawing groups of samples, the same ones for both systems.

    The p-value is the share of replicates that lie as far from their mean as the difference lies
    from zero.

    Args:
        metric: what was measured.
        a, b: statistics (N, k) of the two systems on the same samples in the same order.
        groups: (N,), the group of each sample, 0..G-1, as `group_codes` numbers them.
        level: of the interval.
        replicates: how many resamples.
        seed: of the draws.
    """
    value_a, value_b, size = _checked(metric, a, b, groups)
    differences = _redrawn(metric, a, b, groups, size, replicates, seed)
    known = differences[~np.isnan(differences)]
    return PairedTest(
        a=value_a,
        b=value_b,
        difference=value_a - value_b,
        interval=_interval(differences, level, size),
        p_value=_p_value(known - known.mean(), value_a, value_b),
        method="paired bootstrap",
        replicates=replicates,
        groups=size,
    )


def paired_permutation_test(
    metric: Resampled,
    a: FloatArray,
    b: FloatArray,
    groups: IntArray,
    level: float = 0.95,
    replicates: int = 1000,
    permutations: int = 10_000,
    seed: int = 0,
) -> PairedTest:
    """Test of a difference by swapping the two systems' outputs, group by group, at random.

    Where the systems do not differ, it makes no difference whose output is whose.

    Args:
        replicates: how many resamples the interval rests on.
        permutations: how many swaps the p-value rests on.
        Otherwise as above.
    """
    value_a, value_b, size = _checked(metric, a, b, groups)
    both = np.concatenate([a, b])
    both_groups = np.concatenate([groups, groups + size])
    rng = np.random.default_rng([seed, 2])  # not the draws of the bootstrap
    block = max(1, BLOCK // (2 * size))
    differences = []
    for start in range(0, permutations, block):
        swapped = rng.integers(2, size=(min(block, permutations - start), size))
        keep = np.concatenate([1 - swapped, swapped], axis=1).astype(np.float64)  # (R, 2 G)
        first = metric.resample(both, keep, both_groups)
        second = metric.resample(both, 1 - keep, both_groups)
        differences.append(first - second)
    return PairedTest(
        a=value_a,
        b=value_b,
        difference=value_a - value_b,
        interval=_interval(_redrawn(metric, a, b, groups, size, replicates, seed), level, size),
        p_value=_p_value(np.concatenate(differences), value_a, value_b),
        method="paired permutation",
        replicates=permutations,
        groups=size,
    )


def _checked(
    metric: Resampled, a: FloatArray, b: FloatArray, groups: IntArray
) -> tuple[float, float, int]:
    if a.shape != b.shape or len(a) != len(groups):
        raise ValueError(
            f"not of the same samples: statistics {a.shape} and {b.shape}, {len(groups)} groups"
        )
    return metric.aggregate(a), metric.aggregate(b), int(groups.max()) + 1


def _redrawn(
    metric: Resampled,
    a: FloatArray,
    b: FloatArray,
    groups: IntArray,
    size: int,
    replicates: int,
    seed: int,
) -> FloatArray:
    """a - b on each bootstrap replicate, (R,)."""
    return bootstrap_replicates(
        lambda w: metric.resample(a, w, groups) - metric.resample(b, w, groups),
        size,
        replicates,
        seed,
    )


def _interval(differences: FloatArray, level: float, size: int) -> Interval:
    return percentile_interval(differences, level, size, "paired bootstrap percentile")


def _p_value(under_null: FloatArray, a: float, b: float) -> float:
    """Share of differences at least as large as that observed, which is itself one of them."""
    rounding = 1e-12 * (abs(a) + abs(b))  # equal but for the order of a sum
    larger = np.abs(under_null) >= abs(a - b) - rounding
    return float((larger.sum() + 1) / (len(under_null) + 1))
