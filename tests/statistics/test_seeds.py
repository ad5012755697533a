"""Intervals over seeds and samples."""

from __future__ import annotations

import numpy as np
import pytest

from mmbench.metrics.accuracy import Accuracy
from mmbench.statistics.bootstrap import bootstrap_interval
from mmbench.statistics.seeds import paired_difference_interval, seeds_and_samples_interval

GROUPS = 50
CODES = np.repeat(np.arange(GROUPS), 4)


def run(level: float, seed: int):
    """What resamples a run whose answers are right at this rate."""
    right = np.random.default_rng(seed).random(len(CODES)) < level
    values = right.astype(np.float64)[:, None]
    return lambda weights: Accuracy().resample(values, weights, CODES)


def test_one_seed_gives_the_interval_over_samples() -> None:
    one = run(0.7, 0)
    ours = seeds_and_samples_interval([one], GROUPS, seed=5)
    plain = bootstrap_interval(one, GROUPS, seed=5)
    assert (ours.low, ours.high) == (plain.low, plain.high)
    assert ours.method == "bootstrap percentile over samples"


def test_seeds_that_differ_widen_the_interval() -> None:
    same = seeds_and_samples_interval([run(0.7, 0)] * 3, GROUPS)
    apart = seeds_and_samples_interval([run(level, 0) for level in (0.5, 0.7, 0.9)], GROUPS)
    plain = bootstrap_interval(run(0.7, 0), GROUPS)
    assert same.low == pytest.approx(plain.low, abs=1e-12)
    assert same.high == pytest.approx(plain.high, abs=1e-12)
    assert apart.high - apart.low > 1.5 * (same.high - same.low)
    assert apart.method == "bootstrap percentile over 3 seeds and samples"


def test_variance_is_that_of_seeds_and_of_samples_together() -> None:
    offsets = np.array([-0.2, 0.0, 0.1, 0.3])
    noise = np.random.default_rng(1).normal(size=GROUPS)

    def seed_run(offset: float):
        return lambda weights: offset + weights @ noise / GROUPS

    interval = seeds_and_samples_interval(
        [seed_run(offset) for offset in offsets], GROUPS, replicates=40_000
    )
    sd = np.sqrt(offsets.var() / len(offsets) + noise.var() / GROUPS)
    width = 2 * 1.96 * sd
    assert interval.high - interval.low == pytest.approx(width, rel=0.04)


def test_a_systems_difference_from_itself_is_zero() -> None:
    runs = [run(0.6, seed) for seed in range(3)]
    found = paired_difference_interval(runs, runs, GROUPS)
    assert (found.low, found.high) == (0, 0)


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    strong = np.random.default_rng(2).normal(0.6, 0.3, size=GROUPS)

    def system(gain: float):
        return [lambda weights, s=s: gain + s + weights @ strong / GROUPS for s in (0.0, 0.1, 0.2)]

    alone = seeds_and_samples_interval(system(0.05), GROUPS)
    paired = paired_difference_interval(system(0.05), system(0.0), GROUPS)
    assert paired.low == pytest.approx(0.05, abs=1e-9)
    assert paired.high == pytest.approx(0.05, abs=1e-9)
    assert alone.high - alone.low > 0.05
    assert paired.method == "paired bootstrap percentile over 3 seeds and samples"


def test_systems_need_as_many_seeds_as_each_other() -> None:
    with pytest.raises(ValueError, match="a has 2 seeds and b has 1"):
        paired_difference_interval([run(0.5, 0)] * 2, [run(0.5, 0)], GROUPS)
