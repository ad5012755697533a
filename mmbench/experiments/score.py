"""From answers to metrics with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.sample import SampleSet
from mmbench.metrics.base import FloatArray, IntArray, Metric
from mmbench.records.record import IntervalEntry, MetricEntry
from mmbench.statistics.bootstrap import bootstrap_interval, group_codes


def load_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, as registered."""
    return [registry.load("metrics", name)() for name in names]


def score(
    metrics: Sequence[Metric], samples: SampleSet, answers: Sequence[Any]
) -> tuple[list[MetricEntry], dict[str, FloatArray]]:
    """Every metric over all samples, and over each category.

    Returns: the entries, the first metric over all samples first; and the statistics per sample
        (N, k) by metric.
    """
    targets = [sample.target for sample in samples]
    codes, _ = group_codes([sample.group for sample in samples])
    categories = [sample.category for sample in samples]
    entries, statistics = [], {}
    for metric in metrics:
        values = metric.statistics(answers, targets)
        statistics[metric.name] = values
        entries.append(_entry(metric, values, codes, None))
        for category in sorted({c for c in categories if c is not None}):
            chosen = np.array([c == category for c in categories])
            entries.append(_entry(metric, values[chosen], codes[chosen], category))
    return entries, statistics


def _entry(
    metric: Metric, statistics: FloatArray, codes: IntArray, category: str | None
) -> MetricEntry:
    codes, groups = group_codes(codes.tolist())
    interval = bootstrap_interval(lambda w: metric.resample(statistics, w, codes), groups)
    return MetricEntry(
        name=metric.name,
        signature=metric.signature,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        category=category,
        value=metric.aggregate(statistics),
        samples=len(statistics),
        interval=IntervalEntry(**vars(interval)),
    )
