"""Bootstrap intervals, clustered: whole groups (an image with its questions) are redrawn.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile) and
Field and Welsh, Bootstrapping clustered data, JRSS B 2007 (redrawing clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Replicate = Callable[[FloatArray], FloatArray]

_BLOCK = 2_000_000  # weights held at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    level: float
    method: str
    replicates: int
    groups: int


def group_codes(groups: Sequence[Hashable]) -> tuple[IntArray, int]:
    """Number the groups in order of first appearance: codes (N,) in 0..G-1, and G."""
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(group, len(numbers)) for group in groups]
    return np.asarray(codes, dtype=np.int64), len(numbers)


def bootstrap_replicates(
    replicate: Replicate, groups: int, replicates: int = 1000, seed: int = 0
) -> FloatArray:
    """Values of `replicate` on resampled groups.

    Args:
        replicate: maps weights (R, G), how often each group was drawn, to values (R,).
        groups: G, the number of groups.
        replicates: how many resamples.
        seed: of the draws; the same seed draws the same groups for every metric and model, which
            makes differences between models paired.
    Returns: (replicates,) float64.
    """
    rng = np.random.default_rng(seed)
    share = np.full(groups, 1.0 / groups)
    block = max(1, _BLOCK // groups)
    values = []
    for start in range(0, replicates, block):
        weights = rng.multinomial(groups, share, size=min(block, replicates - start))
        values.append(replicate(weights.astype(np.float64)))
    return np.concatenate(values)


def bootstrap_interval(
    replicate: Replicate,
    groups: int,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic over resampled groups; arguments as above.

    Replicates without a value (NaN: none of the samples was drawn) are left out.
    """
    values = bootstrap_replicates(replicate, groups, replicates, seed)
    return percentile_interval(values, level, groups, "bootstrap percentile")


def percentile_interval(values: FloatArray, level: float, groups: int, method: str) -> Interval:
    """The interval between the percentiles of replicates (R,) that leave `level` between them."""
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high), level, method, len(values), groups)
