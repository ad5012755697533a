"""Runs as the statistics see them: from what their records keep per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.metrics.base import Metric
from mmbench.records.record import MetricEntry
from mmbench.records.statistics_file import BoolArray, Statistics, answered_by_all
from mmbench.statistics.measured import Measured, measure


def measured_runs(
    model: str,
    metric: Metric,
    runs: Mapping[int, RunResult],
    dataset: str = "",
    kept: Mapping[int, Statistics] | None = None,
) -> Measured:
    """A model's runs, measured by one metric.

    Args:
        model: its name.
        metric: what measures it.
        runs: by seed.
        dataset: what they are of, where several are compared at once.
        kept: what their records keep, by seed, where it was read before. Taken are the samples
            that all of them answered.
    Raises: MMBenchError if a record lacks the metric, or runs are not of the same samples.
    """
    kept = kept or {seed: run.statistics() for seed, run in runs.items()}
    entries = {seed: entry_of(run, metric) for seed, run in runs.items()}
    first = next(iter(kept.values()))
    for seed, statistics in kept.items():
        if statistics.samples != first.samples:
            raise MMBenchError(
                f"{model}: its runs cannot be taken together: {runs[seed].path} is of other "
                "samples, or has them in another order"
            )
    common = answered_by_all(kept.values())
    kept = {seed: statistics.restricted_to(common) for seed, statistics in kept.items()}
    first = next(iter(kept.values()))
    drawn = {s: k.replicates[metric.name] for s, k in kept.items() if metric.name in k.replicates}
    by_seed = {s: k.by_metric[metric.name] for s, k in kept.items() if metric.name in k.by_metric}
    if len(by_seed) == len(runs):
        rows = len(next(iter(by_seed.values())))
        groups = first.groups if rows == len(first.groups) else np.arange(rows)
        return measure(model, metric, by_seed, groups, dataset=dataset, kept=drawn or None)
    if len(drawn) < len(runs):
        raise MMBenchError(
            f"{model} cannot be compared by {metric.name}: it has no value per sample, so that no "
            "spread is known"
        )
    return Measured(  # statistics too wide to be kept: their replicates were
        model=model,
        metric=metric,
        dataset=dataset,
        seeds=tuple(sorted(runs)),
        values=np.array([entries[seed].value for seed in sorted(runs)]),
        replicates=np.stack([drawn[seed] for seed in sorted(runs)]),
        groups=first.groups,
        size=int(first.groups.max()) + 1,
        known=int(first.groups.max()) + 1,
        sums=None,
    )


def entry_of(run: RunResult, metric: Metric) -> MetricEntry:
    """A run's value over all samples by a metric of this signature.

    Raises: MMBenchError if its record has none.
    """
    for entry in run.record.metrics:
        if entry.category is None and entry.signature == metric.signature:
            return entry
    names = {entry.name: entry.signature for entry in run.record.metrics}
    raise MMBenchError(
        f"{run.path} has no {metric.signature}"
        + (f"; its {metric.name} is {names[metric.name]}" if metric.name in names else "")
    )


def on_same_samples(
    models: Mapping[str, Mapping[int, Statistics]],
) -> dict[str, dict[int, Statistics]]:
    """What runs of models keep of the samples that all of them answered.

    Args:
        models: by name and seed.
    Raises: MMBenchError naming two models that are not of the same samples in the same order.
    """
    firsts: Sequence[tuple[str, str]] = [
        (model, next(iter(kept.values())).samples) for model, kept in models.items()
    ]
    for model, samples in firsts[1:]:
        if samples != firsts[0][1]:
            raise MMBenchError(
                f"{firsts[0][0]} and {model} cannot be compared: they are not of the same samples"
            )
    common = answered_by_all(k for kept in models.values() for k in kept.values())
    if common is not None and not common.any():
        raise MMBenchError(f"{' and '.join(models)} have no sample that all of them answered")
    return {
        model: {seed: each.restricted_to(common) for seed, each in kept.items()}
        for model, kept in models.items()
    }


def answered_words(answered: BoolArray | None) -> str:
    """What a comparison of runs some of which failed is over, in words; "" where none failed."""
    if answered is None:
        return ""
    return f"over the {answered.sum():,} of {len(answered):,} samples that all runs answered"
