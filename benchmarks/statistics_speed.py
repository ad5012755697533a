"""Seconds of 1,000 bootstrap replicates over 5,000 samples, and of the paired tests on them.

Run: python benchmarks/statistics_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from mmbench.metrics.accuracy import Accuracy
from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.statistics.bootstrap import bca_interval, bootstrap_interval
from mmbench.statistics.paired import paired_bootstrap_test, paired_permutation_test

SAMPLES, REPLICATES, LIMIT = 5000, 1000, 1.0


class FourRatios(TotalsMetric):
    """The geometric mean of four ratios of totals, as BLEU-4's precisions: 8 columns."""

    name = "four_ratios"

    def statistics(self, predictions: object, targets: object) -> FloatArray:
        raise NotImplementedError("the benchmark draws its statistics")

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        return np.exp(np.log(totals[..., :4] / totals[..., 4:]).mean(axis=-1))


def best_of(times: int, call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(SAMPLES)
    for metric, columns in ((Accuracy(), 1), (FourRatios(), 8)):
        a, b = rng.random((2, SAMPLES, columns)) + 0.5

        def replicate(weights: FloatArray, metric=metric, a=a) -> FloatArray:
            return metric.resample(a, weights, groups)

        def test(paired: Callable, metric=metric, a=a, b=b) -> object:
            return paired(metric, a, b, groups)

        name = f"{metric.name}, {columns} column{'s' if columns > 1 else ''}"
        plain = best_of(5, lambda f=replicate: bootstrap_interval(f, SAMPLES))
        verdict = "ok" if plain <= LIMIT else "TOO SLOW"
        print(f"{name}: {REPLICATES} replicates {plain:.2f} s (at most {LIMIT:g} s: {verdict})")
        print(f"  BCa {best_of(3, lambda f=replicate: bca_interval(f, SAMPLES)):.2f} s")
        bootstrap = best_of(3, lambda t=test: t(paired_bootstrap_test))
        print(f"  paired bootstrap test {bootstrap:.2f} s")
        permutation = best_of(1, lambda t=test: t(paired_permutation_test))
        print(f"  paired permutation test, 10,000 swaps {permutation:.2f} s")


if __name__ == "__main__":
    main()
