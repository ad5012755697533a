"""From answers to metrics with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError, NotMeasurable, ToolError
from mmbench.metrics.adapters import PREFIXES, adapted
from mmbench.metrics.base import FloatArray, IntArray, MeanMetric, Metric, TotalsMetric
from mmbench.metrics.called import metric_called
from mmbench.metrics.retrieval import QueryMean
from mmbench.metrics.suite import compute_statistics
from mmbench.records.record import IntervalEntry, MetricEntry
from mmbench.records.statistics_file import BoolArray, Statistics, statistics_of
from mmbench.statistics.bootstrap import Interval, bca_interval, group_codes
from mmbench.statistics.comparison import estimate
from mmbench.statistics.measured import Measured, measure
from mmbench.statistics.standard_error import standard_error

INTERVALS = ("percentile", "bca")
LARGEST_KEPT = 64_000_000  # bytes of a metric's statistics in float64: 6,250 images of 640 features
_ENOUGH = 0.5  # share of the resamples that must have a value for an interval to be made of them


def load_metrics(names: Sequence[str], allow_hub_code: bool = False) -> list[Metric]:
    """The metrics of these names, each once: registered ones, `evaluate:...`, `torchmetrics:...`.

    Args:
        allow_hub_code: whether code of `evaluate:<name>` may be downloaded from the hub and run.
    """
    return [
        adapted(name, allow_hub_code) if name.startswith(PREFIXES) else metric_called(name)
        for name in dict.fromkeys(names)
    ]


@dataclass(frozen=True)
class Scores:
    """What metrics make of answers. Every number in it is finite.

    Attributes:
        entries: values with intervals, the first metric over all samples first.
        statistics: per sample (N, k), by metric.
        failed: by metric, why it could not be computed.
        notes: what a reader of the numbers should know, such as what is left out.
    """

    entries: list[MetricEntry] = field(default_factory=list)
    statistics: dict[str, FloatArray] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    replicates: dict[str, FloatArray] = field(default_factory=dict)

    def kept(self, samples: Sequence[Sample], answered: BoolArray | None = None) -> Statistics:
        """What a record of these samples keeps of them.

        Statistics that are not statistics of a sample (an adapter's), or too wide to be kept
        (features of many images), are left out; the replicates stand for those.

        Args:
            samples: all that were asked.
            answered: which of them these scores are of; None for all.
        """
        return statistics_of(
            {
                name: values
                for name, values in self.statistics.items()
                if values.nbytes <= LARGEST_KEPT and not name.startswith(PREFIXES)
            },
            [sample.id for sample in samples],
            [sample.group for sample in samples],
            [sample.category for sample in samples],
            self.replicates,
            answered,
        )


def per_sample(
    metrics: Sequence[Metric], samples: Sequence[Sample], answers: Sequence[Any]
) -> dict[str, FloatArray]:
    """The statistics (N, k) of every metric that could be computed."""
    targets = [sample.target for sample in samples]
    found = _computed(metrics, answers, targets)
    if not found.statistics:
        raise _nothing(found)
    return found.statistics


def score_answers(
    metrics: Sequence[Metric],
    samples: Sequence[Sample],
    answers: Sequence[Any],
    interval: str = "percentile",
) -> Scores:
    """Every metric over all samples, and over each category.

    Args:
        interval: "percentile" or "bca".
    Raises: MMBenchError if answers do not suit a metric, or no metric could be computed.
    """
    _check_interval(interval)
    scores = _computed(metrics, answers, [sample.target for sample in samples])
    empty = sum(isinstance(answer, str) and not answer.strip() for answer in answers)
    if empty:
        scores.notes.insert(0, f"{empty:,} of {len(answers):,} predictions are empty")
    codes, _ = group_codes([sample.group for sample in samples])
    kinds: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        if sample.category is not None:
            kinds.setdefault(sample.category, []).append(place)
    categories = {kind: np.array(kinds[kind]) for kind in sorted(kinds)}
    for metric in metrics:
        _enter(scores, metric, codes, categories, interval)
    return _complete(scores)


def score_sets(
    metrics: Sequence[Metric],
    predictions: Sequence[Any],
    targets: Sequence[Any],
    interval: str = "percentile",
) -> Scores:
    """Every metric of two sets that need not pair up or be equally large, such as images."""
    _check_interval(interval)
    scores = _computed(metrics, predictions, targets)
    for metric in metrics:
        rows = len(scores.statistics.get(metric.name, ()))
        _enter(scores, metric, np.arange(rows), {}, interval)
    return _complete(scores)


def _computed(
    metrics: Sequence[Metric], predictions: Sequence[Any], targets: Sequence[Any]
) -> Scores:
    """Statistics by metric, and why there are none."""
    scores = Scores()
    for name, values in compute_statistics(metrics, predictions, targets).items():
        if isinstance(values, MMBenchError):
            _leave_out(scores, name, values)
        else:
            scores.statistics[name] = values
    return scores


def _leave_out(scores: Scores, name: str, why: MMBenchError) -> None:
    """A metric that the data do not allow is a note; one that broke has failed."""
    scores.statistics.pop(name, None)
    if isinstance(why, NotMeasurable):
        scores.notes.append(f"{name} is left out: {why}")
    else:
        scores.failed[name] = str(why)


def _enter(
    scores: Scores,
    metric: Metric,
    codes: IntArray,
    categories: Mapping[str, IntArray],
    interval: str,
) -> None:
    """Put in a metric's value over all samples and over those of each category."""
    values = scores.statistics.get(metric.name)
    if values is None:
        return
    try:
        entry = _entry(scores, metric, values, codes, None, interval)
    except (ToolError, NotMeasurable) as error:
        _leave_out(scores, metric.name, error)
        return
    scores.entries.append(entry)
    scores.notes.extend(metric.notes(values))
    for category, chosen in categories.items():
        try:
            entry = _entry(scores, metric, values[chosen], codes[chosen], category, interval)
        except (ToolError, NotMeasurable) as error:
            scores.notes.append(f"{metric.name} of {category} is left out: {error}")
        else:
            scores.entries.append(entry)


def _complete(scores: Scores) -> Scores:
    if not scores.entries:
        raise _nothing(scores)
    return scores


def _nothing(scores: Scores) -> MMBenchError:
    reasons = [f"{name}: {why}" for name, why in scores.failed.items()] + scores.notes
    return MMBenchError(f"no metric could be computed. {'; '.join(reasons)}")


def _check_interval(kind: str) -> None:
    if kind not in INTERVALS:
        raise MMBenchError(f"--interval is {' or '.join(INTERVALS)}, got {kind!r}")


def _entry(
    scores: Scores,
    metric: Metric,
    statistics: FloatArray,
    codes: IntArray,
    category: str | None,
    kind: str,
) -> MetricEntry:
    """A metric's value; notes on its interval go to the scores.

    Raises: ToolError, NotMeasurable if it has none.
    """
    value = metric.aggregate(statistics)
    if not isfinite(value):
        raise ToolError(f"its value over these {len(statistics):,} samples is {value}, no number")
    interval = None
    if metric.replicates:
        measured = measure(metric.name, metric, {0: statistics}, codes)
        if category is None and not isinstance(metric, TotalsMetric):  # costly to make again
            scores.replicates[metric.name] = measured.replicates[0]
        interval, note = _interval(metric, statistics, measured, kind)
        if note:
            over = metric.name if category is None else f"{metric.name} of {category}"
            scores.notes.append(f"{over}: {note}")
    return MetricEntry(
        name=metric.name,
        signature=metric.signature,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        category=category,
        value=value,
        samples=len(statistics),
        interval=IntervalEntry(**vars(interval)) if interval else None,
        ceiling=_finite(metric.ceiling(statistics)),
        standard_error=_standard_error(metric, statistics, codes),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _standard_error(metric: Metric, statistics: FloatArray, codes: IntArray) -> float | None:
    """Of a mean over samples, or over the queries of one direction; None for what is no mean."""
    if isinstance(metric, QueryMean):
        asked = statistics[:, 1] > 0
        statistics, codes = statistics[asked], codes[asked]
    elif not isinstance(metric, MeanMetric):
        return None
    return _finite(standard_error(statistics[:, 0], group_codes(codes.tolist())[0]))


def _interval(
    metric: Metric, statistics: FloatArray, measured: Measured, kind: str
) -> tuple[Interval | None, str]:
    """The interval, or None, and what a reader should know of it, or ''.

    A resample has no value where it drew nothing that the metric could measure, such as one image
    again and again: it is left out.
    """
    values = measured.replicates[0]
    known = int(np.isfinite(values).sum())
    note = ""
    if known < len(values):
        have = f"{known:,} of {len(values):,} resamples have a value"
        if known < _ENOUGH * len(values):
            return None, f"it has no interval, since only {have}"
        note = f"its interval is of the {have.replace(' have', ' that have')}"
    found = estimate(measured).interval
    spread = found is not None and not found.method.startswith(("exact", "no spread"))
    if kind == "bca" and spread and not metric.recentred:  # resamples are all on one side there
        try:
            found = _bca(metric, statistics, measured)
        except MMBenchError as error:
            return None, f"it has no interval: {error}"
    if found is not None and not (isfinite(found.low) and isfinite(found.high)):
        return None, f"it has no interval: {found.low} to {found.high} is none"
    return found, note


def _bca(metric: Metric, statistics: FloatArray, measured: Measured) -> Interval:
    def replicate(weights: FloatArray) -> FloatArray:
        values = metric.resample(statistics, weights, measured.groups)
        return np.where(np.isfinite(values), values, np.nan)

    return bca_interval(replicate, measured.size, replicates=metric.replicates)
