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
from mmbench.metrics.base import FloatArray, IntArray, MeanMetric, Metric, TotalsMetric
from mmbench.metrics.retrieval import QueryMean
from mmbench.metrics.suite import compute_statistics
from mmbench.records.record import IntervalEntry, MetricEntry
from mmbench.records.statistics_file import Statistics, statistics_of
from mmbench.statistics.bootstrap import Interval, bca_interval, group_codes
from mmbench.statistics.comparison import estimate
from mmbench.statistics.measured import Measured, measure
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
    replicates: dict[str, FloatArray] = {}
    for metric in metrics:
        if metric.name not in found:
            continue
        values = found[metric.name]
        notes += metric.notes(values)
        entry, drawn = _entry(metric, values, codes, None, interval)
        entries.append(entry)
        if drawn is not None:
            replicates[metric.name] = drawn
        for category in sorted({c for c in categories if c is not None}):
            chosen = np.array([c == category for c in categories])
            entries.append(_entry(metric, values[chosen], codes[chosen], category, interval)[0])
    return Scores(entries, found, failed, notes, replicates)


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
    replicates: dict[str, FloatArray] = {}
    for metric in metrics:
        if metric.name in found:
            values = found[metric.name]
            entry, drawn = _entry(metric, values, np.arange(len(values)), None, interval)
            entries.append(entry)
            if drawn is not None:
                replicates[metric.name] = drawn
            notes += metric.notes(values)
    return Scores(entries, found, failed, notes, replicates)


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
) -> tuple[MetricEntry, FloatArray | None]:
    """A value with its interval, and the replicates that are costly to make again."""
    measured = measure(metric.name, metric, {0: statistics}, codes)
    interval = estimate(measured).interval
    if interval is not None and kind == "bca" and not metric.recentred:
        interval = _bca(metric, statistics, measured)
    entry = MetricEntry(
        name=metric.name,
        signature=metric.signature,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        category=category,
        value=float(measured.values[0]),
        samples=len(statistics),
        interval=None if interval is None else IntervalEntry(**vars(interval)),
        ceiling=metric.ceiling(statistics),
        standard_error=_standard_error(metric, statistics, measured.groups),
    )
    costly = metric.replicates > 0 and not isinstance(metric, TotalsMetric)
    return entry, measured.replicates[0] if costly and category is None else None


def _bca(metric: Metric, statistics: FloatArray, measured: Measured) -> Interval:
    def replicate(weights: FloatArray) -> FloatArray:
        return metric.resample(statistics, weights, measured.groups)

    return bca_interval(replicate, measured.size, replicates=metric.replicates)


def _standard_error(metric: Metric, statistics: FloatArray, codes: IntArray) -> float | None:
    """Of a mean over samples, or over the queries of one direction; None for what is no mean."""
    if isinstance(metric, QueryMean):
        asked = statistics[:, 1] > 0
        statistics, codes = statistics[asked], codes[asked]
    elif not isinstance(metric, MeanMetric):
        return None
    error = standard_error(statistics[:, 0], group_codes(codes.tolist())[0])
    return None if np.isnan(error) else error
