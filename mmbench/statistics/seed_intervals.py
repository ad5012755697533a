"""Intervals of a mean over seeds and samples, each source of error with arms of its own.

    value - sqrt(t^2 SE^2 + below^2)  to  value + sqrt(t^2 SE^2 + above^2)

SE is the seeds' standard error and t the quantile of Student's distribution on its degrees of
freedom: three seeds tell little of how far trainings scatter, and t knows it. `below` and `above`
are the samples' arms, from redrawing groups for the mean over seeds.

Source: Zou and Donner, Construction of confidence limits about effect measures: a general approach,
Statistics in Medicine 27, 2008 (MOVER: limits recovered from each part's own).

Two things are added to it.

What a seed and a sample make together (this training misses that picture) scatters the seeds'
values, and the redrawn mean over seeds as well. It is counted with the seeds, where t is, and taken
out of the samples' arms: over replicates, the runs' deviations from their mean have the variance of
that part alone (two-way analysis of variance with random effects; Searle, Casella and McCulloch,
Variance Components, 1992, ch. 4).

Percentiles of redrawn groups are too near by sqrt((G - 1) / G), and take the spread for known.
Their arms are multiplied by sqrt(G / (G - 1)) t(G - 1) / z, as in the expanded percentile interval
of Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mmbench.statistics.bootstrap import FloatArray
from mmbench.statistics.proportions import bounded_arms

LEAST_P = 1e-15
_FAR = 10  # replicates that lie beyond the farthest percentile that is taken from them
_INFINITE = (-math.inf, math.inf)


@dataclass(frozen=True, eq=False)
class TwoSources:
    """A value that seeds and samples scatter.

    Attributes:
        value: what was found.
        seed_error: standard error due to seeds; 0 where a single run stands for itself.
        freedom: its degrees of freedom.
        below, above: (R,) each, ascending: how far replicates lie below and above the value.
        groups: G, how many groups were redrawn.
        alone: the part of the samples' arms that seeds do not already account for, 0 to 1.
        bounds: of the metric, if a value near them needs arms of a share.
    """

    value: float
    seed_error: float
    freedom: float
    below: FloatArray = field(repr=False)
    above: FloatArray = field(repr=False)
    groups: int
    alone: float = 1.0
    bounds: tuple[float, float] = _INFINITE

    @cached_property
    def item_error(self) -> float:
        """Standard error due to samples, for these very runs."""
        if not self.spread:
            return 0.0
        return float(self.above.std()) * math.sqrt(self.groups / (self.groups - 1))

    @cached_property
    def error(self) -> float:
        """Standard error due to both, what they make together counted once."""
        return math.hypot(self.seed_error, self.alone * self.item_error)

    @cached_property
    def error_freedom(self) -> float:
        """Degrees of freedom of `error`, by Welch and Satterthwaite; 0 without any spread."""
        return welch_freedom(
            [
                (self.seed_error**2, self.freedom),
                ((self.alone * self.item_error) ** 2, self.groups - 1),
            ]
        )

    @cached_property
    def spread(self) -> bool:
        """Whether any replicate differs from the value."""
        return len(self.above) > 0 and bool(self.above[-1] > 0 or self.below[-1] > 0)

    def arms(self, level: float) -> tuple[float, float]:
        """How far the interval reaches below and above the value, at a level of confidence."""
        tail = (1 - level) / 2
        seeds = student(tail, self.freedom) * self.seed_error if self.seed_error else 0.0
        below, above = self._item_arm(self.below, tail), self._item_arm(self.above, tail)
        if self.spread and math.isfinite(self.bounds[1] - self.bounds[0]):
            error = self.item_error * student(tail, self.groups - 1) / normal(tail)
            of_share = bounded_arms(self.value, error, self.bounds, level)
            below, above = max(below, of_share[0]), max(above, of_share[1])
        return math.hypot(seeds, self.alone * below), math.hypot(seeds, self.alone * above)

    def p_value(self) -> float:
        """One less the highest level at which the interval excludes 0; not below 1e-15."""
        if self.value == 0:
            return 1.0
        distances = self.below if self.value > 0 else self.above

        def excess(log_p: float) -> float:
            tail = math.exp(log_p) / 2
            seeds = student(tail, self.freedom) * self.seed_error if self.seed_error else 0.0
            reach = math.hypot(seeds, self.alone * self._item_arm(distances, tail))
            return reach - abs(self.value)

        least, most = math.log(LEAST_P), math.log1p(-1e-9)
        if excess(most) >= 0:
            return 1.0
        if excess(least) <= 0:
            return LEAST_P
        from scipy.optimize import brentq

        return math.exp(brentq(excess, least, most, xtol=1e-10))

    def _item_arm(self, distances: FloatArray, tail: float) -> float:
        """The samples' arm that leaves `tail` beyond it.

        Where fewer than ten replicates would lie beyond, a normal tail goes on from the percentile
        that leaves ten (or 2.5%, so that the usual interval is made of percentiles).
        """
        count = len(distances)
        if not count or self.groups < 2 or not self.spread:
            return 0.0
        reached = max(tail, min(_FAR / count, 0.025))
        arm = max(0.0, _quantile(distances, 1 - reached))
        if tail < reached:
            arm *= normal(tail) / normal(reached)
        wider = math.sqrt(self.groups / (self.groups - 1))
        return arm * wider * student(tail, self.groups - 1) / normal(tail)


def around(
    value: float,
    replicates: FloatArray,
    groups: int,
    *,
    seed_error: float = 0.0,
    freedom: float = 0.0,
    shared: float = 0.0,
    rounding: float = 0.0,
    bounds: tuple[float, float] = _INFINITE,
) -> TwoSources:
    """The two sources about a value.

    Args:
        value: found.
        replicates: (R,), of the value on redrawn groups; NaN where no sample was drawn.
        groups: G, how many there are.
        seed_error: standard error due to seeds, and
        freedom: its degrees of freedom.
        shared: the part of the replicates' variance that `seed_error` holds as well.
        rounding: what is no more than this is 0.
        bounds: of the metric, if a value near them needs arms of a share.
    """
    known = replicates[~np.isnan(replicates)]
    above = np.sort(known - value)
    above[np.abs(above) <= rounding] = 0.0
    variance = float(known.var()) if len(known) else 0.0
    return TwoSources(
        value=value if abs(value) > rounding else 0.0,
        seed_error=seed_error if seed_error > rounding else 0.0,
        freedom=freedom,
        below=-above[::-1],
        above=above,
        groups=groups,
        alone=math.sqrt(max(0.0, 1 - shared / variance)) if variance > 0 else 1.0,
        bounds=bounds,
    )


def seed_error(values: FloatArray) -> float:
    """Standard error of the mean over seeds of values (S,); 0 for one seed."""
    count = len(values)
    return float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0


def interaction(replicates: FloatArray) -> float:
    """Variance of a mean over seeds due to what seeds and samples make together.

    Args:
        replicates: (S, R), the runs' values on redrawn groups.
    Returns: sum over seeds of the variance over replicates of (run - mean of runs), over S (S - 1):
        an unbiased estimate of var(seed x sample) / (S G); 0 for one seed.
    """
    count = len(replicates)
    if count < 2:
        return 0.0
    deviations = replicates - replicates.mean(axis=0)
    return float(np.nanvar(deviations, axis=1).sum()) / (count * (count - 1))


def welch_freedom(variances: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own; 0 where all are 0.

    Source: Welch, The generalization of Student's problem when several different population
    variances are involved, Biometrika 34, 1947.
    """
    found = [(variance, freedom) for variance, freedom in variances if variance > 0]
    total = sum(variance for variance, _ in found)
    return total**2 / sum(v**2 / freedom for v, freedom in found) if found else 0.0


def normal(tail: float) -> float:
    """The quantile of the normal distribution that leaves `tail` above it."""
    from scipy.special import ndtri

    return -float(ndtri(tail))


def student(tail: float, freedom: float) -> float:
    """The quantile of Student's distribution that leaves `tail` above it."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, tail))


def _quantile(ascending: FloatArray, share: float) -> float:
    """The value that a further replicate would lie below with this probability.

    Between the order statistics about share (R + 1), as Davison and Hinkley, Bootstrap Methods and
    their Application, 1997, eq. 5.6: `numpy.quantile(method="weibull")`. The usual (R - 1) leaves
    6.9% outside instead of 5% where there are 100 replicates.
    """
    count = len(ascending)
    place = min(max(share * (count + 1) - 1, 0.0), count - 1.0)
    first = int(place)
    low, high = ascending[first], ascending[min(first + 1, count - 1)]
    return float(low + (high - low) * (place - first))
