"""Estimates, differences and families, on data whose truth is known."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MMBenchError
from mmbench.metrics.accuracy import Accuracy
from mmbench.metrics.base import Metric, TotalsMetric
from mmbench.metrics.images.kid import KID
from mmbench.metrics.retrieval import MeanRank, MedianRank, RecallAtK
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.measured import Measured, measure


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
    bounds = (-math.inf, math.inf)

    def statistics(self, predictions, targets):
        return np.asarray(predictions, dtype=np.float64)[:, None]

    def aggregate(self, statistics):
        return float(np.median(statistics))


class Value(Accuracy):
    """A mean without bounds."""

    bounds = (-math.inf, math.inf)


def of(runs: np.ndarray, *, model="a", metric=None, groups=None, seeds=None, **more) -> Measured:
    """A model of runs (S, N), a sample to each."""
    runs = np.atleast_2d(np.asarray(runs, dtype=np.float64))
    seeds = range(len(runs)) if seeds is None else seeds
    by_seed = {seed: run[:, None] for seed, run in zip(seeds, runs, strict=True)}
    groups = np.arange(runs.shape[1]) if groups is None else groups
    return measure(model, metric or Value(), by_seed, groups, **more)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_one_run_has_the_bootstrap_interval_over_samples_and_says_so() -> None:
    values = noise(400)
    found = estimate(of(values, replicates=5000))
    assert found.sd is None
    assert "one run" in found.interval.method
    expected = scipy.stats.t.interval(0.95, 399, values.mean(), values.std(ddof=1) / 20)
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=0.008)


def test_without_samples_spread_the_interval_over_seeds_is_students() -> None:
    offsets = np.array([0.1, 0.4, 0.9, 0.2])
    found = estimate(of(np.tile(offsets[:, None], 50)))
    expected = scipy.stats.t.interval(0.95, 3, offsets.mean(), scipy.stats.sem(offsets))
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, rel=1e-9)
    assert found.sd == pytest.approx(offsets.std(ddof=1))
    assert "4 seeds" in found.interval.method


def test_arms_of_seeds_and_samples_add_in_squares() -> None:
    samples, offsets = noise(300), np.array([-0.3, 0.0, 0.5])
    both = estimate(of(offsets[:, None] + samples)).interval
    alone = estimate(of(np.tile(samples, (3, 1)))).interval
    seeds = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(offsets)
    mean = offsets.mean() + samples.mean()
    assert mean - both.low == pytest.approx(math.hypot(seeds, samples.mean() - alone.low))
    assert both.high - mean == pytest.approx(math.hypot(seeds, alone.high - samples.mean()))


def test_what_seeds_and_samples_make_together_is_counted_once() -> None:
    runs = noise(5, 1000)  # nothing else: the runs' means are independent
    found = estimate(of(runs)).interval
    expected = scipy.stats.t.interval(0.95, 4, runs.mean(), scipy.stats.sem(runs.mean(axis=1)))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.004)


def test_arms_are_widened_for_few_groups_as_students_distribution_asks() -> None:
    values = noise(10, seed=3)
    found = estimate(of(values, replicates=50_000)).interval
    half = (found.high - found.low) / 2
    expected = scipy.stats.t.ppf(0.975, 9) * values.std(ddof=1) / math.sqrt(10)
    assert half == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("right", [0.0, 1.0])
@pytest.mark.parametrize("runs", [1, 3])
def test_a_share_without_spread_has_the_exact_interval_over_groups(right: float, runs: int) -> None:
    groups = np.arange(600) // 5
    found = estimate(of(np.full((runs, 600), right), metric=Accuracy(), groups=groups)).interval
    expected = scipy.stats.binomtest(int(right * 120), 120).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert "exact" in found.method
    assert found.groups == 120


def test_groups_without_a_query_of_the_direction_do_not_count_in_an_exact_interval() -> None:
    metric = RecallAtK(1, "text_to_image")
    targets = ["text_to_image", "image_to_text"] * 20
    statistics = metric.statistics([[1]] * 40, targets)
    found = estimate(measure("a", metric, {0: statistics}, np.arange(40))).interval
    assert found.groups == 20
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    assert found.high == 1


def test_a_perfect_value_of_a_metric_without_a_worst_one_claims_nothing_beyond_it() -> None:
    statistics = MeanRank().statistics([[1]] * 30, [None] * 30)
    found = estimate(measure("a", MeanRank(), {0: statistics}, np.arange(30))).interval
    assert (found.low, found.high, found.method) == (1, 1, "no spread")


@pytest.mark.parametrize("wrong", [1, 2, 5])
def test_a_share_near_its_bound_reaches_as_far_as_the_exact_interval(wrong: int) -> None:
    values = np.ones(1000)
    values[:wrong] = 0
    found = estimate(of(values, metric=Accuracy())).interval
    exact = scipy.stats.binomtest(1000 - wrong, 1000).proportion_ci(method="exact")
    assert 1 - found.low == pytest.approx(1 - exact.low, rel=0.06)  # a bootstrap's variance
    assert 1 >= found.high >= exact.high - 1e-6


def test_intervals_stay_within_the_metrics_bounds() -> None:
    runs = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 0, 1, 1, 0]])
    found = estimate(of(runs, metric=Accuracy())).interval
    assert found.low >= 0
    assert found.high == 1
    a, b = of(runs, metric=Accuracy()), of(runs[::-1, ::-1], metric=Accuracy(), model="b")
    interval = difference(a, b).interval
    assert interval.low >= -1
    assert interval.high <= 1


def test_one_group_tells_nothing_of_a_bounded_metric() -> None:
    found = estimate(of([1, 0, 1, 1], metric=Accuracy(), groups=np.zeros(4, int))).interval
    assert found.high - found.low > 0.9
    assert found.groups == 1


def test_a_metric_that_cannot_be_resampled_has_no_interval_and_no_difference() -> None:
    a = of(noise(20), replicates=0)
    assert estimate(a).interval is None
    with pytest.raises(MMBenchError, match="no value per sample"):
        difference(a, of(noise(20), model="b", replicates=0))


def test_a_category_without_a_value_has_no_interval() -> None:
    metric = RecallAtK(1, "image_to_text")
    statistics = metric.statistics([[1], [2], [1]], [*["text_to_image"] * 2, "image_to_text"])
    found = estimate(measure("a", metric, {0: statistics[:2]}, np.arange(2)))
    assert math.isnan(found.mean)
    assert found.interval is None


def test_recentred_replicates_lie_about_the_value_with_arms_of_at_least_zero() -> None:
    metric = KID("efficientnet_lite0")
    statistics = noise(40, 2 * 6)
    found = estimate(measure("a", metric, {0: statistics, 1: statistics + 0.1}, np.arange(40)))
    assert found.interval.low <= found.mean <= found.interval.high
    assert found.interval.low < found.interval.high
    assert "moved to the value" in found.interval.method


def test_groups_of_any_numbers_are_numbered_anew() -> None:
    values = noise(12)
    plain = of(values, groups=np.arange(12) // 3)
    other = of(values, groups=np.array([7, 7, 7, 2, 2, 2, 90, 90, 90, 1, 1, 1]))
    assert estimate(plain) == estimate(other)


def test_statistics_of_any_type_will_do() -> None:
    right = (noise(60) > 0).astype(np.float64)
    one = measure("a", Accuracy(), {0: right[:, None]}, np.arange(60))
    other = measure("a", Accuracy(), {0: right[:, None].astype(np.uint8)}, np.arange(60))
    assert estimate(one) == estimate(other)


# Differences


def test_a_difference_of_single_runs_agrees_with_the_clustered_z_test() -> None:
    codes = np.repeat(np.arange(200), 3)
    shared = noise(200, seed=1)[codes]
    a, b = 0.12 + shared + noise(600, seed=2), shared + noise(600, seed=3)
    found = difference(
        of(a, groups=codes, replicates=8000), of(b, groups=codes, model="b", replicates=8000)
    )
    by_group = np.bincount(codes, a - b) / 3
    expected = scipy.stats.ttest_1samp(by_group, 0)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.01)
    assert found.effect_size == pytest.approx(by_group.mean() / by_group.std(ddof=1), rel=0.02)
    assert found.single_runs == ("a", "b")
    assert found.of_checkpoints


def test_seeds_that_are_the_same_are_paired() -> None:
    by_seed = np.array([0.5, -0.4, 1.1, 0.1])[:, None]
    gain = np.array([0.2, 0.3, 0.1, 0.25])[:, None]
    samples = noise(50)
    found = difference(of(samples + by_seed + gain), of(samples + by_seed, model="b"))
    expected = scipy.stats.ttest_1samp(gain[:, 0], 0)
    assert found.paired_seeds
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert not found.of_checkpoints


def test_seeds_that_are_not_the_same_have_welchs_error() -> None:
    a, b = np.array([0.5, -0.4, 1.1, 0.1]), np.array([-0.6, -0.5, -0.9])
    samples = noise(50)
    found = difference(
        of(samples + a[:, None]), of(samples + b[:, None], model="b", seeds=(1, 2, 3))
    )
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert not found.paired_seeds
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=1e-6)


def test_a_single_run_stands_for_itself_and_the_other_models_seeds_still_count() -> None:
    b = np.array([0.0, 0.3, 0.6, 0.1])
    samples = noise(50)
    found = difference(of(samples + 1.0), of(samples + b[:, None], model="b"))
    assert found.single_runs == ("a",)
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp(b, 1.0).pvalue, rel=1e-6)


@pytest.mark.parametrize("runs", [1, 3])
def test_identical_models_do_not_differ_and_nothing_is_claimed(runs: int) -> None:
    values = (noise(runs, 80) > 0).astype(float)
    found = difference(of(values, metric=Accuracy()), of(values, metric=Accuracy(), model="b"))
    assert (found.difference, found.interval.low, found.interval.high) == (0, 0, 0)
    assert found.p_value == 1
    assert found.effect_size is None
    assert found.least_seen is None
    assert found.differing == 0


@pytest.mark.parametrize("groups", [4, 5, 6, 12])
def test_a_difference_without_spread_has_the_p_value_of_the_sign_test(groups: int) -> None:
    codes = np.repeat(np.arange(groups), 10)
    a, b = (
        of(np.ones(10 * groups), groups=codes),
        of(np.zeros(10 * groups), groups=codes, model="b"),
    )
    found = difference(a, b)
    assert found.p_value == pytest.approx(scipy.stats.binomtest(groups, groups).pvalue)
    assert (found.interval.low > 0) == (found.p_value < 0.05)
    assert found.interval.high == 1
    assert found.least_seen is None


@pytest.mark.parametrize("differing", [4, 5, 6])
def test_few_samples_that_differ_prove_no_more_than_the_sign_test(differing: int) -> None:
    a, b = np.ones(2000), np.ones(2000)
    b[:differing] = 0
    found = difference(of(a, metric=Accuracy()), of(b, metric=Accuracy(), model="b"))
    assert found.differing == differing
    assert found.p_value >= scipy.stats.binomtest(differing, differing).pvalue
    assert (found.interval.low > 0) == (found.p_value < 0.05)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3), st.integers(2, 12), st.floats(-1, 1), st.integers(0, 10_000), st.booleans()
)
def test_swapping_two_models_negates_the_difference_and_keeps_p(
    runs: int, groups: int, gain: float, seed: int, binary: bool
) -> None:
    values = noise(2, runs, groups, seed=seed) + np.array([gain, 0])[:, None, None]
    values = (values > 0).astype(float) if binary else values
    a, b = of(values[0], replicates=100), of(values[1], model="b", replicates=100)
    ab, ba = difference(a, b), difference(b, a)
    assert ab.difference == -ba.difference
    assert ab.p_value == ba.p_value
    assert 0 < ab.p_value <= 1
    assert (ab.interval.low, ab.interval.high) == (-ba.interval.high, -ba.interval.low)
    assert ab.least_seen == pytest.approx(ba.least_seen)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(3, 40),
    st.floats(-1, 1),
    st.integers(0, 10_000),
    st.sampled_from([0.8, 0.9, 0.95, 0.99, 0.9999]),
)
def test_the_interval_excludes_zero_just_where_p_is_below_alpha(
    runs: int, groups: int, gain: float, seed: int, level: float
) -> None:
    values = noise(2, runs, groups, seed=seed) + np.array([gain, 0])[:, None, None]
    found = difference(of(values[0]), of(values[1], model="b"), level)
    if abs(found.p_value - (1 - level)) > 1e-6:
        excludes = found.interval.low > 0 or found.interval.high < 0
        assert excludes == (found.p_value < 1 - level)


def test_p_values_go_on_beyond_the_replicates_with_a_normal_tail() -> None:
    base = noise(4000)
    b = of(base, model="b")
    p_values = [
        difference(of(base + gain + 0.5 * noise(4000, seed=1)), b).p_value
        for gain in (0.02, 0.04, 0.06)
    ]
    expected = [
        scipy.stats.ttest_1samp(gain + 0.5 * noise(4000, seed=1), 0).pvalue
        for gain in (0.02, 0.04, 0.06)
    ]
    assert p_values[-1] < 1e-8  # of 1,000 replicates
    assert np.log(p_values) == pytest.approx(np.log(expected), rel=0.15)


def test_a_metric_without_totals_and_one_that_is_no_mean_can_be_compared() -> None:
    a, b = noise(2, 60)
    found = difference(of(a + 3, metric=Median()), of(b, metric=Median(), model="b"))
    assert found.difference == pytest.approx(np.median(a + 3) - np.median(b))
    assert found.p_value < 0.001
    truth = noise(400, seed=1) > 0
    good, bad = ((noise(400, seed=s) + w * truth) > 0.5 for s, w in ((2, 2.0), (3, 0.5)))
    sides = [
        measure(name, FScore(), {0: FScore().statistics(p, truth)}, np.arange(400))
        for name, p in (("good", good), ("bad", bad))
    ]
    assert difference(*sides).p_value < 0.001


def test_a_median_of_one_directions_ranks_leaves_out_draws_without_a_query() -> None:
    metric = MedianRank("text_to_image")
    targets = ["text_to_image"] * 3 + ["image_to_text"] * 3
    sides = [
        measure(name, metric, {0: metric.statistics([[r] for r in ranks], targets)}, np.arange(6))
        for name, ranks in (("a", [1, 2, 3, 1, 1, 1]), ("b", [4, 9, 5, 1, 1, 1]))
    ]
    found = difference(*sides)
    assert found.difference == -3
    assert found.p_value >= 0.25  # three groups differ


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda: of(noise(21), model="b"), "same samples"),
        (lambda: of(noise(20), model="b", groups=np.arange(20) // 2), "same samples"),
        (lambda: of(noise(20), model="b", metric=Accuracy(), dataset="other"), "other"),
        (lambda: of(noise(20), model="b", replicates=10), "replicates"),
    ],
)
def test_what_may_not_be_compared_is_refused(other: Callable[[], Measured], why: str) -> None:
    with pytest.raises(MMBenchError, match=why):
        difference(of(noise(20)), other())


def test_runs_on_unequal_samples_are_refused() -> None:
    with pytest.raises(MMBenchError, match="seed 1: 3 samples"):
        measure("a", Accuracy(), {0: np.ones((4, 1)), 1: np.ones((3, 1))}, np.arange(4))
    with pytest.raises(MMBenchError, match="no run"):
        measure("a", Accuracy(), {}, np.arange(4))


def test_the_least_difference_is_the_textbooks_where_there_are_many_samples() -> None:
    a, b = noise(2, 1000)
    found = difference(of(a, replicates=4000), of(b, model="b", replicates=4000))
    error = scipy.stats.sem(a - b)
    assert found.least_seen == pytest.approx((1.96 + 0.8416) * error, rel=0.04)
    assert found.least_difference_seen(0.99) > found.least_seen


def test_the_engine_imports_nothing_heavy() -> None:
    code = (
        "import sys, mmbench.statistics.family; "
        "assert not {'scipy', 'torch', 'pandas', 'statsmodels'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
