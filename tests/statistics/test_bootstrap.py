"""Bootstrap intervals over groups, against scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MMBenchError
from mmbench.metrics.base import Metric, TotalsMetric
from mmbench.statistics.bootstrap import (
    bca_interval,
    bootstrap_interval,
    bootstrap_replicates,
    group_codes,
    jackknife_values,
)


class Ratio(TotalsMetric):
    """Sum of the first column over that of the second: not a mean."""

    name = "ratio"

    def statistics(self, predictions, targets):
        return np.stack([predictions, targets], axis=1).astype(np.float64)

    def from_totals(self, totals, count):
        return totals[..., 0] / totals[..., 1]


class Median(Metric):
    """Needs the samples themselves."""

    name = "median"

    def statistics(self, predictions, targets):
        return np.asarray(predictions, dtype=np.float64)[:, None]

    def aggregate(self, statistics):
        return float(np.median(statistics))


def clustered_ratio(seed: int, samples: int = 200, groups: int = 40):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(samples) % groups)
    statistics = rng.gamma(2.0, size=(samples, 2)) + rng.gamma(1.0, size=(groups, 2))[codes]
    return statistics, codes, lambda w: Ratio().resample(statistics, w, codes)


def scipy_interval(statistics, codes, values, method: str, level: float) -> tuple[float, float]:
    """scipy's interval from these replicates, the groups being its samples."""

    def ratio(drawn: np.ndarray, axis: int) -> np.ndarray:
        totals = np.stack([np.bincount(codes, column) for column in statistics.T], axis=-1)
        of_drawn = totals[drawn].sum(axis=axis - 1 if axis < 0 else axis)
        return of_drawn[..., 0] / of_drawn[..., 1]

    data = (np.arange(codes.max() + 1),)
    result = scipy.stats.bootstrap(data, ratio, n_resamples=2, method="percentile")
    result.bootstrap_distribution = values
    result = scipy.stats.bootstrap(
        data,
        ratio,
        n_resamples=0,
        bootstrap_result=result,
        method=method,
        confidence_level=level,
    )
    return tuple(result.confidence_interval)


@pytest.mark.parametrize(
    ("interval", "method"), [(bootstrap_interval, "percentile"), (bca_interval, "BCa")]
)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_clustered_intervals_equal_scipys(interval: Callable, method: str, level: float) -> None:
    for seed in range(3):
        statistics, codes, replicate = clustered_ratio(seed)
        ours = interval(replicate, 40, level=level, replicates=800, seed=seed)
        values = bootstrap_replicates(replicate, 40, replicates=800, seed=seed)
        expected = scipy_interval(statistics, codes, values, method, level)
        assert (ours.low, ours.high) == pytest.approx(expected, rel=1e-12)
        assert (ours.level, ours.replicates, ours.groups) == (level, 800, 40)


def test_bca_moves_the_interval_of_a_skewed_statistic_and_percentile_does_not() -> None:
    _, _, replicate = clustered_ratio(7)
    plain = bootstrap_interval(replicate, 40, replicates=2000)
    moved = bca_interval(replicate, 40, replicates=2000)
    assert moved.method == "bootstrap BCa"
    assert plain.method == "bootstrap percentile"
    assert moved.low > plain.low  # a ratio's replicates are skewed to the right
    assert moved.high > plain.high


def test_jackknife_leaves_out_one_group_with_all_its_samples() -> None:
    statistics, codes, replicate = clustered_ratio(1)
    expected = [Ratio().aggregate(statistics[codes != group]) for group in range(40)]
    assert jackknife_values(replicate, 40) == pytest.approx(expected, rel=1e-12)


def test_blocks_of_draws_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, replicate = clustered_ratio(2)
    whole = bootstrap_replicates(replicate, 40, replicates=100)
    jackknife = jackknife_values(replicate, 40)
    monkeypatch.setattr("mmbench.statistics.bootstrap.BLOCK", 40 * 7)
    monkeypatch.setattr("mmbench.statistics.bootstrap._KEPT", 0)  # none of those drawn before
    in_blocks = bootstrap_replicates(replicate, 40, replicates=100)
    assert in_blocks == pytest.approx(whole, rel=1e-12)
    assert jackknife_values(replicate, 40) == pytest.approx(jackknife, rel=1e-12)


def test_a_metric_without_totals_is_resampled_by_its_samples() -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.normal(size=(60, 1)), np.arange(60) // 3
    median = Median()
    weights = rng.multinomial(20, np.full(20, 0.05), size=5).astype(np.float64)
    by_hand = [np.median(np.repeat(values[:, 0], w[codes].astype(int))) for w in weights]
    assert median.resample(values, weights, codes) == pytest.approx(by_hand, rel=1e-12)
    interval = bca_interval(lambda w: median.resample(values, w, codes), 20, replicates=200)
    assert interval.low < np.median(values) < interval.high


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 5)), min_size=2, max_size=20))
def test_totals_of_groups_resample_as_the_samples_do(pairs: list[tuple[int, float]]) -> None:
    codes, groups = group_codes([group for group, _ in pairs])
    statistics = np.array([[value, 1.0] for _, value in pairs])
    weights = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), size=8)
    ratio = Ratio()
    by_totals = ratio.resample(statistics, weights.astype(np.float64), codes)
    by_samples = Metric.resample(ratio, statistics, weights.astype(np.float64), codes)
    assert by_totals == pytest.approx(by_samples, abs=1e-12)


def test_the_seed_decides_the_draws() -> None:
    _, _, replicate = clustered_ratio(3)
    assert bca_interval(replicate, 40, seed=1) == bca_interval(replicate, 40, seed=1)
    assert bca_interval(replicate, 40, seed=1) != bca_interval(replicate, 40, seed=2)


def test_draws_are_of_as_many_groups_as_there_are() -> None:
    drawn = []

    def keep(weights: np.ndarray) -> np.ndarray:
        drawn.append(weights)
        return weights[:, 0]

    bootstrap_replicates(keep, 9, replicates=50)
    weights = np.concatenate(drawn)
    assert weights.shape == (50, 9)
    assert (weights.sum(axis=1) == 9).all()


@pytest.mark.parametrize("interval", [bootstrap_interval, bca_interval])
def test_a_value_that_no_draw_changes_has_an_interval_of_one_point(interval: Callable) -> None:
    found = interval(lambda w: np.ones(len(w)), 5)
    assert (found.low, found.high) == (1, 1)


@pytest.mark.parametrize("interval", [bootstrap_interval, bca_interval])
def test_draws_without_a_sample_are_left_out(interval: Callable) -> None:
    def of_two_groups(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (weights[:, 0] + 3 * weights[:, 1]) / (weights[:, 0] + weights[:, 1])

    found = interval(of_two_groups, 4, replicates=500)
    assert 1 <= found.low < 2 < found.high <= 3


def test_bca_refuses_replicates_on_one_side_of_the_value() -> None:
    def distinct_left_out(weights: np.ndarray) -> np.ndarray:  # grows with every repetition
        return (weights == 0).sum(axis=1) / weights.shape[1]

    with pytest.raises(MMBenchError, match="all 1000 lie above it. Ask for a percentile one"):
        bca_interval(distinct_left_out, 30)


def test_groups_are_numbered_in_order_of_first_appearance() -> None:
    codes, groups = group_codes(["b", "a", "b", None, "a"])
    assert codes.tolist() == [0, 1, 0, 2, 1]
    assert groups == 3
