"""A 95% interval holds the truth in 95% of simulated data sets, if it knows of the clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmbench.metrics.accuracy import Accuracy
from mmbench.statistics.bootstrap import bca_interval, bootstrap_interval
from mmbench.statistics.standard_error import standard_error

DATA_SETS = 400
GROUPS, SIZE = 60, 5  # questions about one image, half of whose variance they share
CODES = np.repeat(np.arange(GROUPS), SIZE)


def by_resampling(interval: Callable) -> Callable:
    def of(values: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
        def mean(weights: np.ndarray) -> np.ndarray:
            return Accuracy().resample(values[:, None], weights, codes)

        found = interval(mean, codes.max() + 1, replicates=400)
        return found.low, found.high

    return of


def by_standard_error(values: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    half = 1.96 * standard_error(values, codes)
    return values.mean() - half, values.mean() + half


def coverage(interval: Callable, codes: np.ndarray) -> float:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(DATA_SETS):
        values = 0.3 + rng.normal(size=GROUPS)[CODES] + rng.normal(size=len(CODES))
        low, high = interval(values, codes)
        hits += low <= 0.3 <= high
    return hits / DATA_SETS


@pytest.mark.parametrize(
    "interval",
    [by_resampling(bootstrap_interval), by_resampling(bca_interval), by_standard_error],
    ids=["percentile", "bca", "standard_error"],
)
def test_an_interval_that_knows_of_the_clusters_covers_the_truth(interval: Callable) -> None:
    assert 0.91 <= coverage(interval, CODES) <= 0.98


@pytest.mark.parametrize(
    "interval",
    [by_resampling(bootstrap_interval), by_standard_error],
    ids=["percentile", "standard_error"],
)
def test_an_interval_that_does_not_is_too_narrow(interval: Callable) -> None:
    assert coverage(interval, np.arange(len(CODES))) < 0.85
