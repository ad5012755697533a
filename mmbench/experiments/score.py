"""From answers to metrics with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError, ToolError
from mmbench.metrics.adapters import PREFIXES, adapted
from mmbench.metrics.base import FloatArray, IntArray, MeanMetric, Metric
from mmbench.metrics.retrieval import QueryMean
from mmbench.metrics.suite import compute_statistics
from mmbench.records.record import IntervalEntry, MetricEntry
from mmbench.records.statistics_file import Statistics, statistics_of
from mmbench.statistics.bootstrap import (
    Interval,
    bca_interval,
    bootstrap_replicates,
    group_codes,
    percentile_interval,
)
from mmbench.statistics.standard_error import standard_error

INTERVALS = ("percentile", "bca")
LARGEST_KEPT = 64_000_000  # bytes of a metric's statistics in float64: 6,250 images of 640 features


def load_metrics(names: Sequence[str], allow_hub_code: bool = False) -> list[Metric]:
    """The metrics of these names: registered ones, or `evaluate:...` and `torchmetrics:...`.

    Args:
        allow_hub_code: whether code of `evaluate:<name>` may be downloaded from the hub and run.
    """
    return [
        adapted(name, allow_hub_code)
        if name.startswith(PREFIXES)
        else registry.load("metrics", name)()
        for name in names
    ]


@dataclass(frozen=True)
class Scores:
    """What metrics make of answers.

    Attributes:
        entries: values with intervals, the first metric over all samples first.
        statistics: per sample (N, k), by metric.
        failed: by metric, why it could not be computed.
        notes: what a reader of the numbers should know.
    """

    entries: list[MetricEntry]
    statistics: dict[str, FloatArray]
    failed: dict[str, str]
    notes: list[str]
    replicates: dict[str, FloatArray] = field(default_factory=dict)

    def kept(self, samples: Sequence[Sample]) -> Statistics:
        """What a record of these samples keeps of them.

        Statistics that are no statistics of a sample (an adapter's), or too wide to be kept
        (features of many images), are left out; the replicates stand for those.
        """
        return statistics_of(
            {name: v for name, v in self.statistics.items() if v.nbytes <= LARGEST_KEPT},
            [sample.id for sample in samples],
            [sample.group for sample in samples],
            [sample.category for sample in samples],
            self.replicates,
        )


def per_sample(
    metrics: Sequence[Metric], samples: SampleSet, answers: Sequence[Any]
) -> dict[str, FloatArray]:
    """The statistics (N, k) of every metric that could be computed."""
    return _computed(metrics, answers, [sample.target for sample in samples])[0]


def score_answers(
    metrics: Sequence[Metric],
    samples: SampleSet,
    answers: Sequence[Any],
    interval: str = "percentile",
) -> Scores:
    """Every metric over all samples, and over each category.

    Args:
        interval: "percentile" or "bca".
    Raises: MMBenchError if answers do not suit a metric, or no metric could be computed.
    """
    _check_interval(interval)
    targets = [sample.target for sample in samples]
    found, failed = _computed(metrics, answers, targets)
    codes, _ = group_codes([sample.group for sample in samples])
    categories = [sample.category for sample in samples]
    empty = sum(isinstance(answer, str) and not answer.strip() for answer in answers)
    notes = [f"{empty:,} of {len(answers):,} predictions are empty"] if empty else []
    entries = []
    for metric in metrics:
        if metric.name not in found:
            continue
        values = found[metric.name]
        notes += metric.notes(values)
        entries.append(_entry(metric, values, codes, None, interval))
        for category in sorted({c for c in categories if c is not None}):
            chosen = np.array([c == category for c in categories])
            entries.append(_entry(metric, values[chosen], codes[chosen], category, interval))
    return Scores(entries, found, failed, notes)


def score_sets(
    metrics: Sequence[Metric],
    predictions: Sequence[Any],
    targets: Sequence[Any],
    interval: str = "percentile",
) -> Scores:
    """Every metric of two sets that need not pair up or be equally large, such as images."""
    _check_interval(interval)
    found, failed = _computed(metrics, predictions, targets)
    entries, notes = [], []
    for metric in metrics:
        if metric.name in found:
            values = found[metric.name]
            entries.append(_entry(metric, values, np.arange(len(values)), None, interval))
            notes += metric.notes(values)
    return Scores(entries, found, failed, notes)


def _computed(
    metrics: Sequence[Metric], predictions: Sequence[Any], targets: Sequence[Any]
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Statistics by metric, and why there are none."""
    found, failed = {}, {}
    for name, values in compute_statistics(metrics, predictions, targets).items():
        if isinstance(values, ToolError):
            failed[name] = str(values)
        else:
            found[name] = values
    if not found:
        raise MMBenchError(f"no metric could be computed. {' '.join(failed.values())}")
    return found, failed


def _check_interval(kind: str) -> None:
    if kind not in INTERVALS:
        raise MMBenchError(f"--interval is {' or '.join(INTERVALS)}, got {kind!r}")


def _entry(
    metric: Metric, statistics: FloatArray, codes: IntArray, category: str | None, kind: str
) -> MetricEntry:
    codes, groups = group_codes(codes.tolist())
    value = metric.aggregate(statistics)
    interval = None
    if metric.replicates:
        interval = IntervalEntry(**vars(_interval(metric, statistics, codes, groups, value, kind)))
    return MetricEntry(
        name=metric.name,
        signature=metric.signature,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        category=category,
        value=value,
        samples=len(statistics),
        interval=interval,
        ceiling=metric.ceiling(statistics),
        standard_error=_standard_error(metric, statistics, codes),
    )


def _standard_error(metric: Metric, statistics: FloatArray, codes: IntArray) -> float | None:
    """Of a mean over samples, or over the queries of one direction; None for what is no mean."""
    if isinstance(metric, QueryMean):
        asked = statistics[:, 1] > 0
        statistics, codes = statistics[asked], codes[asked]
    elif not isinstance(metric, MeanMetric):
        return None
    error = standard_error(statistics[:, 0], group_codes(codes.tolist())[0])
    return None if np.isnan(error) else error


def _interval(
    metric: Metric, statistics: FloatArray, codes: IntArray, groups: int, value: float, kind: str
) -> Interval:
    def replicate(weights: FloatArray) -> FloatArray:
        return metric.resample(statistics, weights, codes)

    if kind == "bca" and not metric.recentred:  # resamples of which are all on one side
        return bca_interval(replicate, groups, replicates=metric.replicates)
    values = bootstrap_replicates(replicate, groups, metric.replicates)
    method = "bootstrap percentile"
    if metric.recentred:
        values = values - np.nanmean(values) + value
        method += ", moved to the value"
    return percentile_interval(values, 0.95, groups, method)
