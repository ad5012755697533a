"""From answers to metrics with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError, ToolError
from mmbench.metrics.adapters import PREFIXES, adapted
from mmbench.metrics.base import FloatArray, IntArray, Metric
from mmbench.metrics.suite import compute_statistics
from mmbench.records.record import IntervalEntry, MetricEntry
from mmbench.statistics.bootstrap import bootstrap_interval, group_codes


def load_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names: registered ones, or `evaluate:...` and `torchmetrics:...`."""
    return [
        adapted(name) if name.startswith(PREFIXES) else registry.load("metrics", name)()
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


def score_answers(metrics: Sequence[Metric], samples: SampleSet, answers: Sequence[Any]) -> Scores:
    """Every metric over all samples, and over each category.

    Raises: MMBenchError if answers do not suit a metric, or no metric could be computed.
    """
    targets = [sample.target for sample in samples]
    codes, _ = group_codes([sample.group for sample in samples])
    categories = [sample.category for sample in samples]
    found = compute_statistics(metrics, answers, targets)
    failed = {name: str(error) for name, error in found.items() if isinstance(error, ToolError)}
    if len(failed) == len(found):
        raise MMBenchError(f"no metric could be computed. {' '.join(failed.values())}")
    entries, statistics = [], {}
    for metric in metrics:
        values = found[metric.name]
        if isinstance(values, ToolError):
            continue
        statistics[metric.name] = values
        entries.append(_entry(metric, values, codes, None))
        for category in sorted({c for c in categories if c is not None}):
            chosen = np.array([c == category for c in categories])
            entries.append(_entry(metric, values[chosen], codes[chosen], category))
    empty = sum(isinstance(answer, str) and not answer.strip() for answer in answers)
    notes = [f"{empty:,} of {len(answers):,} predictions are empty"] if empty else []
    return Scores(entries, statistics, failed, notes)


def _entry(
    metric: Metric, statistics: FloatArray, codes: IntArray, category: str | None
) -> MetricEntry:
    codes, groups = group_codes(codes.tolist())
    interval = None
    if metric.replicates:
        made = bootstrap_interval(
            lambda w: metric.resample(statistics, w, codes), groups, replicates=metric.replicates
        )
        interval = IntervalEntry(**vars(made))
    return MetricEntry(
        name=metric.name,
        signature=metric.signature,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        category=category,
        value=metric.aggregate(statistics),
        samples=len(statistics),
        interval=interval,
    )
