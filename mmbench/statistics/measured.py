"""A model as one metric measures it: a value and bootstrap replicates for each of its seeds.

Everything that is said of models (intervals, differences, families of them) is computed from these,
so that each run's replicates are made once, on draws of groups that are the same for all models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.statistics.bootstrap import FloatArray, IntArray, bootstrap_replicates, group_codes

_FEW_COLUMNS = 16  # wider statistics are features: no group of theirs is the same for two models


class Quantity(Protocol):
    """What the statistics need to know of a value."""

    name: str
    higher_is_better: bool
    bounds: tuple[float, float]
    scale: float
    recentred: bool


class Resampled(Quantity, Protocol):
    """What the statistics need of a metric."""

    replicates: int

    def aggregate(self, statistics: FloatArray) -> float:
        """The value over the samples whose statistics (N, k) are given."""

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The values (R,) with group g, of groups (N,), taken weights[r, g] times."""


@dataclass(frozen=True)
class Measured:
    """A model, measured.

    Attributes:
        model: its name.
        metric: what measured it.
        dataset: what it was measured on, where several are compared at once.
        seeds: S seeds, ascending.
        values: (S,), the value of each seed's run.
        replicates: (S, R), each run's values on redrawn groups. Moved to lie about the value where
            the metric's resamples are biased. R is 0 for a metric that cannot be resampled.
        groups: (N,), the group of each sample, 0..G-1.
        size: G.
        known: how many groups have a value at all: a metric of one direction's queries has none in
            a group without such a query. Counted only where the replicates have no spread; else G.
        sums: (G, k), the statistics of each group's samples, mean over seeds, summed; None for wide
            ones (features of images).
    """

    model: str
    metric: Quantity
    dataset: str
    seeds: tuple[int, ...]
    values: FloatArray = field(repr=False, compare=False)
    replicates: FloatArray = field(repr=False, compare=False)
    groups: IntArray = field(repr=False, compare=False)
    size: int
    known: int
    sums: FloatArray | None = field(repr=False, compare=False)

    @property
    def column(self) -> tuple[str, str]:
        """What stands in one column of a table: dataset and metric."""
        return self.dataset, self.metric.name

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(self.values.mean())

    @property
    def rounding(self) -> float:
        """Below this, two values are equal but for the order of a sum."""
        return 1e-12 * float(np.abs(self.values).max())


def measure(
    model: str,
    metric: Resampled,
    statistics: Mapping[int, FloatArray],
    groups: IntArray,
    *,
    dataset: str = "",
    replicates: int | None = None,
    seed: int = 0,
    kept: Mapping[int, FloatArray] | None = None,
) -> Measured:
    """Values and replicates of a model's runs.

    Args:
        model: its name.
        metric: what measures it.
        statistics: by the seed of each run, its statistics (N, k) of the same samples in the same
            order. A single run, whatever its seed, is a checkpoint: samples only.
        groups: (N,), the group of each sample, as numbers; any, they are numbered anew, so that
            those of a category's samples will do.
        dataset: what it was measured on.
        replicates: how many; as many as the metric says if None.
        seed: of the draws. The same seed draws the same groups for every model and metric.
        kept: by seed, replicates (R,) that were made before, on the same draws, and not moved; they
            are taken as they are where all runs have them.
    Raises: MMBenchError if there is no run, or runs are not of the same samples.
    """
    seeds = tuple(sorted(statistics))
    if not seeds:
        raise MMBenchError(f"{model} has no run to be measured by {metric.name}")
    runs = [np.asarray(statistics[s], dtype=np.float64) for s in seeds]
    for number, run in zip(seeds, runs, strict=True):
        if len(run) != len(groups):
            raise MMBenchError(
                f"{model}, seed {number}: {len(run)} samples of {metric.name}, but "
                f"{len(groups)} samples have a group"
            )
    codes, size = group_codes(groups.tolist())
    values = np.array([metric.aggregate(run) for run in runs])
    if kept is not None and set(seeds) <= set(kept):
        drawn = np.stack([kept[number] for number in seeds])
    else:
        count = metric.replicates if replicates is None else replicates
        drawn = _replicates(metric, runs, codes, size, count, seed)
    if metric.recentred and not np.isnan(drawn).all(axis=1).any():
        drawn = drawn - np.nanmean(drawn, axis=1, keepdims=True) + values[:, None]
    still = drawn.size > 0 and bool((drawn == drawn.flat[0]).all())
    return Measured(
        model=model,
        metric=metric,
        dataset=dataset,
        seeds=seeds,
        values=values,
        replicates=drawn,
        groups=codes,
        size=size,
        known=_groups_with_a_value(metric, runs[0], codes, size) if still else size,
        sums=_group_sums(runs, codes, size) if runs[0].shape[1] <= _FEW_COLUMNS else None,
    )


def _replicates(
    metric: Resampled,
    runs: list[FloatArray],
    codes: IntArray,
    size: int,
    replicates: int,
    seed: int,
) -> FloatArray:
    """(S, R), all runs on each block of draws."""
    if not replicates:
        return np.empty((len(runs), 0))
    drawn = bootstrap_replicates(
        lambda weights: np.stack([metric.resample(run, weights, codes) for run in runs], axis=1),
        size,
        replicates,
        seed,
    ).T
    return np.where(np.isfinite(drawn), drawn, np.nan)


def _groups_with_a_value(
    metric: Resampled, statistics: FloatArray, codes: IntArray, size: int
) -> int:
    """How many groups have a value when taken alone."""
    block = 256
    count = 0
    for start in range(0, size, block):
        rows = np.arange(start, min(start + block, size))
        weights = np.zeros((len(rows), size))
        weights[np.arange(len(rows)), rows] = 1
        count += int((~np.isnan(metric.resample(statistics, weights, codes))).sum())
    return count


def _group_sums(runs: list[FloatArray], codes: IntArray, size: int) -> FloatArray:
    mean = np.nan_to_num(np.mean(runs, axis=0))
    return np.stack([np.bincount(codes, column, minlength=size) for column in mean.T], axis=1)
