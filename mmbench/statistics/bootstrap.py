"""Bootstrap intervals, clustered: whole groups (an image with its questions) are redrawn.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile) and 14
(BCa), and Field and Welsh, Bootstrapping clustered data, JRSS B 2007 (redrawing clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Replicate = Callable[[FloatArray], FloatArray]

BLOCK = 2_000_000  # weights held at a time: 16 MB
_KEPT = 10_000_000  # weights kept for the next metric, in 16 bits each: 20 MB


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
    few = groups * replicates <= _KEPT
    drawn = _kept_draws(groups, replicates, seed) if few else _draws(groups, replicates, seed)
    return np.concatenate([replicate(weights.astype(np.float64)) for weights in drawn])


@lru_cache(maxsize=8)  # all metrics of a run redraw the same groups
def _kept_draws(groups: int, replicates: int, seed: int) -> tuple[npt.NDArray[Any], ...]:
    return tuple(weights.astype(np.uint16) for weights in _draws(groups, replicates, seed))


def _draws(groups: int, replicates: int, seed: int) -> Iterator[IntArray]:
    """How often each group was drawn, block by block of replicates, (R, G)."""
    rng = np.random.default_rng(seed)
    share = np.full(groups, 1.0 / groups)
    block = max(1, BLOCK // groups)
    for start in range(0, replicates, block):
        yield rng.multinomial(groups, share, size=min(block, replicates - start))


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


def bca_interval(
    replicate: Replicate,
    groups: int,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Bias-corrected and accelerated interval of a statistic over resampled groups.

    The percentiles are moved by how far the replicates' median lies from the value, and by how its
    spread changes with the value, which the jackknife over groups tells. As
    `scipy.stats.bootstrap(method="BCa")` where every sample is a group of its own.

    Arguments as above; `replicate` is also called with one group left out at a time, G rows in all.
    Raises: MMBenchError where all replicates lie on one side of the value, so that there is no
        such interval (a Frechet distance: resamples hold fewer distinct images).
    """
    from scipy.special import ndtr, ndtri

    value = float(replicate(np.ones((1, groups)))[0])
    values = bootstrap_replicates(replicate, groups, replicates, seed)
    known = values[~np.isnan(values)]
    below = ((known < value).mean() + (known <= value).mean()) / 2
    if below in (0, 1):
        raise MMBenchError(
            f"a BCa interval needs replicates on both sides of the value, {value:g}: all "
            f"{len(known)} lie {'above' if below == 0 else 'below'} it. Ask for a percentile one"
        )
    bias = ndtri(below)
    acceleration = _acceleration(jackknife_values(replicate, groups))
    tail = (1 - level) / 2
    shifted = bias + ndtri([tail, 1 - tail])
    low, high = np.percentile(known, 100 * ndtr(bias + shifted / (1 - acceleration * shifted)))
    return Interval(float(low), float(high), level, "bootstrap BCa", replicates, groups)


def jackknife_values(replicate: Replicate, groups: int) -> FloatArray:
    """Values of `replicate` with each group left out in turn, (G,)."""
    block = max(1, BLOCK // groups)
    values = []
    for start in range(0, groups, block):
        rows = np.arange(start, min(start + block, groups))
        weights = np.ones((len(rows), groups))
        weights[np.arange(len(rows)), rows] = 0
        values.append(replicate(weights))
    return np.concatenate(values)


def _acceleration(jackknife: FloatArray) -> float:
    """A sixth of the skewness of the groups' influence on the value; 0 where they have none."""
    known = jackknife[~np.isnan(jackknife)]
    if len(known) == 0:
        return 0.0
    influence = known.mean() - known
    spread = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def percentile_interval(values: FloatArray, level: float, groups: int, method: str) -> Interval:
    """The interval between the percentiles of replicates (R,) that leave `level` between them."""
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high), level, method, len(values), groups)
