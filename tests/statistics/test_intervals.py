from functools import partial

import numpy as np
import pytest
from scipy import stats

from mmbench.metrics.accuracy import Accuracy
from mmbench.statistics.bootstrap import bootstrap_interval, bootstrap_replicates, group_codes
from mmbench.statistics.seeds import paired_difference_interval, seeds_and_samples_interval

METRIC = Accuracy()


def replicate(values: np.ndarray, codes: np.ndarray):
    return partial(METRIC.resample, values[:, None], groups=codes)


def clustered(rng: np.random.Generator, groups: int = 60, size: int = 8) -> np.ndarray:
    """Values that share their group's level, so that their samples say less than they seem to."""
    level = rng.random(groups)
    return (rng.random((groups, size)) < level[:, None]).astype(float).ravel()


def test_group_codes_number_the_groups_in_order():
    codes, groups = group_codes(["b", "a", "b", "c"])
    assert codes.tolist() == [0, 1, 0, 2]
    assert groups == 3


def test_the_interval_is_scipys_where_every_sample_is_its_own_group():
    values = (np.random.default_rng(0).random(400) < 0.7).astype(float)
    ours = bootstrap_interval(replicate(values, np.arange(400)), 400, replicates=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.006)
    assert ours.high == pytest.approx(theirs.high, abs=0.006)


def test_the_clustered_interval_covers_the_truth_and_the_unclustered_one_does_not():
    rng = np.random.default_rng(0)
    codes, alone = np.repeat(np.arange(60), 8), np.arange(480)
    covered = np.zeros(2)
    for _ in range(200):
        values = clustered(rng)
        for which, (numbers, groups) in enumerate(((codes, 60), (alone, 480))):
            interval = bootstrap_interval(replicate(values, numbers), groups, replicates=300)
            covered[which] += interval.low <= 0.5 <= interval.high
    assert covered[0] / 200 > 0.90
    assert covered[1] / 200 < 0.80


def test_the_same_seed_draws_the_same_groups_for_every_model():
    codes = np.repeat(np.arange(60), 8)
    run = replicate(clustered(np.random.default_rng(0)), codes)
    assert np.array_equal(bootstrap_replicates(run, 60), bootstrap_replicates(run, 60))
    assert not np.array_equal(bootstrap_replicates(run, 60), bootstrap_replicates(run, 60, seed=1))


def test_the_spread_of_the_replicates_is_the_standard_error_with_clusters():
    values, codes = clustered(np.random.default_rng(3)), np.repeat(np.arange(60), 8)
    spread = bootstrap_replicates(replicate(values, codes), 60, replicates=4000).std()
    means = values.reshape(60, 8).mean(axis=1)
    assert spread == pytest.approx(means.std() / np.sqrt(60), rel=0.05)


def test_over_several_seeds_the_interval_is_wider_when_seeds_differ():
    rng = np.random.default_rng(0)
    codes = np.arange(500)
    equal = [replicate((rng.random(500) < 0.7).astype(float), codes) for _ in range(4)]
    differ = [replicate((rng.random(500) < p).astype(float), codes) for p in (0.5, 0.6, 0.8, 0.9)]
    narrow, wide = (seeds_and_samples_interval(runs, 500) for runs in (equal, differ))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_paired_difference_is_narrower_than_two_intervals():
    rng = np.random.default_rng(0)
    codes = np.arange(500)
    right = rng.random(500) < 0.7
    flipped = right ^ (rng.random(500) < 0.02)
    a, b = ([replicate(v.astype(float), codes)] for v in (right, flipped))
    paired = paired_difference_interval(a, b, 500)
    alone = bootstrap_interval(a[0], 500)
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    assert paired.low <= right.mean() - flipped.mean() <= paired.high


def test_equal_models_differ_by_nothing():
    codes = np.arange(100)
    run = [replicate((np.random.default_rng(0).random(100) < 0.5).astype(float), codes)] * 2
    interval = paired_difference_interval(run, run, 100)
    assert interval.low <= 0 <= interval.high
