"""What is known of a model's value, and of the difference of two models.

The one engine of `run`, `compare`, `score` and `report`: from statistics per sample of each run
(`measure`), an interval over seeds and samples (`estimate`) and a paired difference (`difference`).
Families of differences are in `family.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.statistics.bootstrap import Interval
from mmbench.statistics.measured import Measured
from mmbench.statistics.power import least_difference
from mmbench.statistics.proportions import unspread_arms
from mmbench.statistics.seed_intervals import (
    TwoSources,
    around,
    interaction,
    seed_error,
    welch_freedom,
)

POWER = 0.8


@dataclass(frozen=True)
class ModelEstimate:
    """A model's value, and how well it is known.

    Attributes:
        model, dataset, metric: names of what was measured.
        seeds: the seeds of its runs.
        values: each run's value, in the order of seeds; unscaled, as all values here.
        mean: over seeds.
        sd: standard deviation over seeds (n - 1); None for a single run.
        interval: of the mean over seeds and samples; over samples alone for a single run, whose
            method says so; None where the metric cannot be resampled, or has no value here.
    """

    model: str
    dataset: str
    metric: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    sd: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """Two models on the same samples: a less b.

    Attributes:
        a, b: the models.
        dataset, metric: what both were measured by.
        difference: mean over a's seeds less mean over b's.
        interval: of the difference.
        p_value: two-sided: one less the highest level at which the interval excludes 0.
        effect_size: Cohen's d_z over groups: the difference over the standard deviation of the
            groups' differences, which neither more groups nor more seeds change. None without
            spread between groups.
        least_seen: the least difference that would have been seen, at the interval's level, with
            probability 0.8; None without any spread.
        paired_seeds: whether run k of a and run k of b have one seed, and were taken together.
        single_runs: which of the two is a single run, so that what is said is of that checkpoint
            and not of what another training would give.
        differing: in how many groups the two differ at all.
    """

    a: str
    b: str
    dataset: str
    metric: str
    difference: float
    interval: Interval
    p_value: float
    effect_size: float | None
    least_seen: float | None
    paired_seeds: bool
    single_runs: tuple[str, ...]
    differing: int
    sources: TwoSources = field(repr=False, compare=False)

    @property
    def of_checkpoints(self) -> bool:
        """Whether a single run stands on either side."""
        return bool(self.single_runs)

    def least_difference_seen(self, level: float, power: float = POWER) -> float | None:
        """The least difference that would have been seen at this level; None without spread."""
        return least_difference(self.sources, level, power)


def estimate(measured: Measured, level: float = 0.95) -> ModelEstimate:
    """A model's value with its interval (`seed_intervals`); for a single run too, or a category.

    Near a bound the samples' arms are at least those of a share (`proportions`), and where nothing
    varies they are exact over groups. The interval stays within the metric's bounds.
    """
    values = measured.values
    return ModelEstimate(
        model=measured.model,
        dataset=measured.dataset,
        metric=measured.metric.name,
        seeds=measured.seeds,
        values=tuple(values.tolist()),
        mean=measured.mean,
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        interval=_interval(measured, level),
    )


def _interval(measured: Measured, level: float) -> Interval | None:
    value, count = measured.mean, measured.replicates.shape[1]
    if not count or math.isnan(value):
        return None
    bounds, seeds = measured.metric.bounds, len(measured.seeds)
    sources = around(
        value,
        measured.replicates.mean(axis=0),
        measured.size,
        seed_error=seed_error(measured.values),
        freedom=seeds - 1,
        shared=interaction(measured.replicates),
        rounding=measured.rounding,
        bounds=bounds,
    )
    below, above = sources.arms(level)
    method, groups = _method(seeds, measured.metric.recentred), measured.size
    if sources.error == 0:
        groups = measured.known
        below, above = unspread_arms(value, groups, bounds, level)
        method = "exact (Clopper-Pearson) over groups" if below or above else "no spread"
    low, high = max(value - below, bounds[0]), min(value + above, bounds[1])
    return Interval(min(low, value), max(high, value), level, method, count, groups)


def _method(seeds: int, recentred: bool, what: str = "bootstrap percentile") -> str:
    moved = ", moved to the value" if recentred else ""
    if seeds > 1:
        return f"{seeds} seeds (t) and samples ({what}{moved}), by MOVER"
    return f"{what}{moved}, over samples of one run"


def difference(a: Measured, b: Measured, level: float = 0.95) -> Difference:
    """The difference of two models, paired by sample, and by seed where both have the same ones.

    Where the seeds differ, each model with more than one run has a seed error of its own, and their
    degrees of freedom are by Welch and Satterthwaite. A single run has none.

    Whatever the replicates say, no test of exchangeable groups can give a p-value below 2^(1 - m)
    if m groups differ (the sign test where all m favour one model), so that none is claimed: the
    interval's end towards 0 is at most d (2 (alpha / 2)^(1 / m) - 1), which excludes 0 where
    2^(1 - m) < alpha. Five questions of thousands make no difference.

    Raises: MMBenchError if the two are not of the same samples and metric, or have no replicates.
    """
    _check(a, b)
    replicates = a.replicates.mean(axis=0) - b.replicates.mean(axis=0)
    paired = a.seeds == b.seeds and len(a.seeds) > 1
    error, freedom, shared = _paired_seeds(a, b) if paired else _other_seeds(a, b)
    sources = around(
        a.mean - b.mean,
        replicates,
        a.size,
        seed_error=error,
        freedom=freedom,
        shared=shared,
        rounding=a.rounding + b.rounding,
    )
    differing = _differing(a, b)
    return Difference(
        a=a.model,
        b=b.model,
        dataset=a.dataset,
        metric=a.metric.name,
        difference=sources.value,
        interval=_difference_interval(sources, a, b, differing, level),
        p_value=max(sources.p_value(), 2.0 ** (1 - differing)) if sources.value else 1.0,
        effect_size=_effect_size(sources),
        least_seen=least_difference(sources, level, POWER),
        paired_seeds=paired,
        single_runs=tuple(m.model for m in (a, b) if len(m.seeds) == 1),
        differing=differing,
        sources=sources,
    )


def _check(a: Measured, b: Measured) -> None:
    what = f"{a.model} and {b.model} cannot be compared by {a.metric.name}"
    if a.column != b.column:
        raise MMBenchError(f"{what}: one is of {a.column}, the other of {b.column}")
    if not np.array_equal(a.groups, b.groups):
        raise MMBenchError(f"{what}: they are not of the same samples")
    if a.replicates.shape[1] != b.replicates.shape[1]:
        raise MMBenchError(f"{what}: they have unequal numbers of replicates")
    if not a.replicates.shape[1]:
        raise MMBenchError(f"{what}: it has no value per sample, so that no spread is known")
    if math.isnan(a.mean) or math.isnan(b.mean):
        raise MMBenchError(f"{what}: it has no value on these samples")


def _paired_seeds(a: Measured, b: Measured) -> tuple[float, float, float]:
    """Standard error, degrees of freedom, and what of the samples' variance it holds."""
    by_seed = a.replicates - b.replicates
    return seed_error(a.values - b.values), len(a.seeds) - 1, interaction(by_seed)


def _other_seeds(a: Measured, b: Measured) -> tuple[float, float, float]:
    errors = [seed_error(m.values) for m in (a, b)]
    freedom = welch_freedom([(e**2, len(m.seeds) - 1) for e, m in zip(errors, (a, b), strict=True)])
    shared = interaction(a.replicates) + interaction(b.replicates)
    return math.hypot(*errors), freedom, shared


def _differing(a: Measured, b: Measured) -> int:
    """In how many groups the statistics differ; all, where they are features."""
    if a.sums is None or b.sums is None or a.sums.shape != b.sums.shape:
        return a.size
    rounding = 1e-12 * (np.abs(a.sums) + np.abs(b.sums))
    return int((np.abs(a.sums - b.sums) > rounding).any(axis=1).sum())


def _difference_interval(
    sources: TwoSources, a: Measured, b: Measured, differing: int, level: float
) -> Interval:
    value, count = sources.value, len(a.replicates[0])
    below, above = sources.arms(level)
    if value:
        share = ((1 - level) / 2) ** (1 / max(differing, 1))
        towards_zero = 2 * abs(value) * (1 - share)
        below = max(below, towards_zero) if value > 0 else below
        above = max(above, towards_zero) if value < 0 else above
    width = a.metric.bounds[1] - a.metric.bounds[0]
    low, high = max(value - below, -width), min(value + above, width)
    method = _method(
        max(len(a.seeds), len(b.seeds)), a.metric.recentred, "paired bootstrap percentile"
    )
    return Interval(low, high, level, method, count, a.size)


def _effect_size(sources: TwoSources) -> float | None:
    error = sources.item_error
    return sources.value / (error * math.sqrt(sources.groups)) if error else None
