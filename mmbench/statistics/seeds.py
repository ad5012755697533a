"""Intervals over seeds and samples: both the seeds and the groups of samples are redrawn.

Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, sec. 3.8 (hierarchical
data); Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, 2021
(arXiv 2103.03098), for why both sources of variance count.

With S seeds the redrawn seeds' variance is (S - 1) / S of the true one: few seeds give an interval
that is somewhat narrow, and one seed one over samples only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbench.statistics.bootstrap import (
    FloatArray,
    Interval,
    Replicate,
    bootstrap_replicates,
    percentile_interval,
)


def seeds_and_samples_interval(
    by_seed: Sequence[Replicate],
    groups: int,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over seeds of a statistic.

    Args:
        by_seed: for each seed, what maps weights (R, G) to values (R,).
        groups: G, how many groups of samples there are.
        level: nominal coverage.
        replicates: how many resamples.
        seed: of the draws.
    """
    values = _mean_over_redrawn_seeds(_by_seed(by_seed, groups, replicates, seed), seed)
    return percentile_interval(values, level, groups, _method(len(by_seed)))


def paired_difference_interval(
    a: Sequence[Replicate],
    b: Sequence[Replicate],
    groups: int,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over seeds of a, less that of b; arguments as above.

    Both are redrawn together: the same groups, and the same seeds, since run k of either has the
    same seed, hence the same batches in the same order.
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} seeds and b has {len(b)}")
    of_a = _by_seed(a, groups, replicates, seed)
    of_b = _by_seed(b, groups, replicates, seed)
    values = _mean_over_redrawn_seeds(of_a - of_b, seed)
    return percentile_interval(values, level, groups, f"paired {_method(len(a))}")


def _by_seed(by_seed: Sequence[Replicate], groups: int, replicates: int, seed: int) -> FloatArray:
    """Replicates of each seed's run on the same draws of groups, (S, R)."""
    return np.stack([bootstrap_replicates(run, groups, replicates, seed) for run in by_seed])


def _mean_over_redrawn_seeds(values: FloatArray, seed: int) -> FloatArray:
    seeds, replicates = values.shape
    rng = np.random.default_rng([seed, 1])  # not the draws of the groups
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates)  # (R, S)
    return (drawn.T * values).sum(axis=0) / seeds


def _method(seeds: int) -> str:
    return (
        f"bootstrap percentile over {seeds} seeds and samples"
        if seeds > 1
        else ("bootstrap percentile over samples")
    )
