"""What each sample of a run scored by each metric that tells something of one sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.experiments.score import load_metrics
from mmbench.metrics.base import FloatArray, IntArray, Metric, TotalsMetric
from mmbench.records.record import MetricEntry


@dataclass(frozen=True)
class Score:
    """A metric's values per sample.

    Attributes:
        name: the metric's.
        scale: what is shown is the value times this.
        higher_is_better: which way is up.
        binary: whether each sample is just right or wrong: 1 or 0.
        values: (N,) by model and seed; NaN for a sample that the metric is not about.
    """

    name: str
    scale: float
    higher_is_better: bool
    binary: bool
    values: Mapping[tuple[str, int], FloatArray]


def scores_of(runs: Mapping[str, Mapping[int, RunResult]], chosen: IntArray) -> list[Score]:
    """By all metrics of the runs that have a value per sample, the primary one first.

    Args:
        runs: by model and seed, of the same samples.
        chosen: places of the samples that are wanted.
    """
    entries: dict[str, MetricEntry] = {}
    values: dict[str, dict[tuple[str, int], FloatArray]] = {}
    for model, of_model in runs.items():
        for seed, run in of_model.items():
            statistics = run.statistics()
            kept = statistics.by_metric
            for entry in run.record.metrics:
                if entry.category is not None or entry.name not in kept:
                    continue
                found = per_sample(_metric(entry), kept[entry.name])
                found = None if found is None else statistics.by_place(found)
                if found is not None and len(found) > chosen.max(initial=-1):
                    entries.setdefault(entry.name, entry)
                    values.setdefault(entry.name, {})[model, seed] = found[chosen]
    scores = []
    for name, of_metric in values.items():
        every = np.concatenate(list(of_metric.values()))
        every = every[np.isfinite(every)]
        if len(every):
            binary = bool(np.isin(every, (0.0, 1.0)).all())
            entry = entries[name]
            scores.append(Score(name, entry.scale, entry.higher_is_better, binary, of_metric))
    return scores


def per_sample(metric: Metric | None, statistics: FloatArray) -> FloatArray | None:
    """Each sample's own value (N,), from statistics (N, k); None where none is known.

    Of a metric of totals, such as recall, it is the value over that sample alone; of another, the
    statistic itself, if it is one number.
    """
    if isinstance(metric, TotalsMetric):
        with np.errstate(invalid="ignore", divide="ignore"):
            return metric.from_totals(statistics, np.ones(len(statistics)))
    return statistics[:, 0] if statistics.shape[1] == 1 else None


def _metric(entry: MetricEntry) -> Metric | None:
    """The metric, if it is known here as it was for the record."""
    try:
        metric = load_metrics([entry.name])[0]
    except MMBenchError:
        return None
    return metric if metric.signature == entry.signature else None
