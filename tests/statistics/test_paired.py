"""Paired tests between two systems, against scipy and against enumeration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.metrics.accuracy import Accuracy
from mmbench.metrics.base import Metric, TotalsMetric
from mmbench.statistics.paired import paired_bootstrap_test, paired_permutation_test

TESTS = [paired_bootstrap_test, paired_permutation_test]


class FScore(TotalsMetric):
    """2 tp / (2 tp + fp + fn) from three counts a sample: not a mean."""

    name = "f_score"

    def statistics(self, predictions, targets):
        p, t = np.asarray(predictions, bool), np.asarray(targets, bool)
        return np.stack([p & t, p & ~t, ~p & t], axis=1).astype(np.float64)

    def from_totals(self, totals, count):
        return 2 * totals[..., 0] / (2 * totals[..., 0] + totals[..., 1] + totals[..., 2])


class Median(Metric):
    """Has no totals: every replicate is aggregated."""

    name = "median"

    def statistics(self, predictions, targets):
        return np.asarray(predictions, dtype=np.float64)[:, None]

    def aggregate(self, statistics):
        return float(np.median(statistics))


def two_systems(samples: int, groups: int, gain: float, seed: int = 0):
    """Statistics of two classifiers of the same kind, the first one the better by gain."""
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.permutation(np.arange(samples) % groups))
    truth = rng.random(samples) < 0.5
    a = np.where(rng.random(samples) < 0.6 + gain, truth, ~truth)
    b = np.where(rng.random(samples) < 0.6, truth, ~truth)
    return FScore().statistics(a, truth), FScore().statistics(b, truth), codes


def exact_p_value(metric: Metric, a: np.ndarray, b: np.ndarray, codes: np.ndarray) -> float:
    """Over all ways of swapping whole groups, one at a time and without weights."""
    observed = abs(metric.aggregate(a) - metric.aggregate(b))
    larger = []
    for swap in product([False, True], repeat=codes.max() + 1):
        swapped = np.array(swap)[codes][:, None]
        first, second = np.where(swapped, b, a), np.where(swapped, a, b)
        difference = abs(metric.aggregate(first) - metric.aggregate(second))
        larger.append(difference >= observed - 1e-12)
    return float(np.mean(larger))


@pytest.mark.parametrize("seed", range(3))
def test_permutation_of_a_totals_metric_equals_enumeration_of_swapped_groups(seed: int) -> None:
    a, b, codes = two_systems(60, 9, 0.15, seed)
    found = paired_permutation_test(FScore(), a, b, codes, permutations=20_000)
    assert found.p_value == pytest.approx(exact_p_value(FScore(), a, b, codes), abs=0.012)


def test_permutation_of_a_metric_without_totals_equals_enumeration() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, size=(21, 1)), rng.normal(size=(21, 1))
    codes = np.arange(21) // 3
    found = paired_permutation_test(Median(), a, b, codes, permutations=3000)
    assert found.p_value == pytest.approx(exact_p_value(Median(), a, b, codes), abs=0.03)


@pytest.mark.parametrize("gain", [0.0, 0.3, 0.8])
def test_permutation_of_a_mean_equals_scipys(gain: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(gain, size=12), rng.normal(size=12)
    expected = scipy.stats.permutation_test(  # all 2 ** 12 of them: exact
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        permutation_type="samples",
        vectorized=True,
    )
    found = paired_permutation_test(
        Accuracy(), a[:, None], b[:, None], np.arange(12), permutations=20_000
    )
    assert found.difference == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.012)


def test_bootstrap_of_a_mean_agrees_with_the_clustered_z_test() -> None:
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(200), 3)
    shared = rng.normal(size=200)[codes]
    a, b = 0.12 + shared + rng.normal(size=600), shared + rng.normal(size=600)
    found = paired_bootstrap_test(Accuracy(), a[:, None], b[:, None], codes, replicates=20_000)
    by_group = np.bincount(codes, a - b) / 3
    z = by_group.mean() / (by_group.std() / np.sqrt(200))
    assert found.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(z)), abs=0.01)


@pytest.mark.parametrize("test", TESTS)
def test_a_clear_difference_has_the_least_p_value_there_is(test: Callable) -> None:
    a, b, codes = two_systems(1000, 200, 0.3)
    found = test(FScore(), a, b, codes)
    assert found.p_value == 1 / (found.replicates + 1)
    assert found.difference == found.a - found.b > 0.1
    assert 0 < found.interval.low < found.difference < found.interval.high
    assert found.groups == found.interval.groups == 200


@pytest.mark.parametrize("test", TESTS)
def test_a_system_does_not_differ_from_itself(test: Callable) -> None:
    a, _, codes = two_systems(60, 12, 0.1)
    found = test(FScore(), a, a, codes)
    assert found.p_value == 1
    assert (found.difference, found.interval.low, found.interval.high) == (0, 0, 0)


@pytest.mark.parametrize("test", TESTS)
def test_where_systems_do_not_differ_small_p_values_are_as_rare_as_they_say(test: Callable) -> None:
    p_values = []
    for seed in range(300):
        a, b, codes = two_systems(120, 40, 0.0, seed)
        size = {"permutations": 300} if test is paired_permutation_test else {}
        p_values.append(test(FScore(), a, b, codes, replicates=300, seed=seed, **size).p_value)
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.09
    assert 0.4 < np.mean(np.array(p_values) <= 0.5) < 0.6


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=30), st.integers(0, 9)
)
def test_p_values_are_two_sided(pairs: list[tuple[bool, bool]], seed: int) -> None:
    a, b = (np.array(column, dtype=np.float64)[:, None] for column in zip(*pairs, strict=True))
    codes = np.arange(len(pairs)) // 2
    for test in TESTS:
        ab = test(Accuracy(), a, b, codes, replicates=100, seed=seed)
        ba = test(Accuracy(), b, a, codes, replicates=100, seed=seed)
        assert ab.p_value == ba.p_value
        assert 0 < ab.p_value <= 1
        assert ab.difference == -ba.difference


def test_samples_of_a_group_are_swapped_together() -> None:
    # Each of four groups has 100 samples on which only the first system is right.
    a, b = np.ones((400, 1)), np.zeros((400, 1))
    codes = np.repeat(np.arange(4), 100)
    found = paired_permutation_test(Accuracy(), a, b, codes, permutations=20_000)
    assert found.p_value == pytest.approx(2 / 2**4, abs=0.01)


@pytest.mark.parametrize("test", TESTS)
def test_systems_on_other_samples_are_refused(test: Callable) -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\) and \(5, 1\), 4 groups"):
        test(Accuracy(), np.ones((4, 1)), np.ones((5, 1)), np.arange(4))
