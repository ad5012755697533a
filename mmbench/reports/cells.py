"""A model's value in a column, over its seeds: the engine's estimate from what records keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.failures import failure_notes
from mmbench.experiments.measured_runs import answered_words, measured_runs
from mmbench.experiments.result import RunResult
from mmbench.metrics.base import Metric
from mmbench.records.record import MetricEntry
from mmbench.records.statistics_file import BoolArray, Statistics, answered_by_all
from mmbench.statistics.bootstrap import Interval
from mmbench.statistics.comparison import ModelEstimate, estimate
from mmbench.statistics.measured import Measured


@dataclass(frozen=True)
class Column:
    """What the numbers of one column have in common.

    Attributes:
        kind: of device, and the versions of parts, where those of the table differ.
    """

    task: str
    dataset: str
    split: str
    fingerprint: str
    limit: int | None
    signature: str
    kind: str = ""

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.signature.partition("|")[0]

    @property
    def label(self) -> str:
        """What tells it from others of its task and dataset, mostly."""
        return f"{self.split} {self.metric}" + (f" ({self.kind})" if self.kind else "")


@dataclass(frozen=True)
class Cell:
    """A model's value in a column, over its seeds; unscaled.

    Attributes:
        values: by seed.
        mean: over seeds.
        sd: standard deviation over seeds (n - 1); None for one seed.
        interval: of the mean; None where the metric has none.
        scale: what tables multiply the value by.
    """

    values: Mapping[int, float]
    mean: float
    sd: float | None
    interval: Interval | None
    scale: float


@dataclass(frozen=True)
class Filled:
    """A cell, and what it was made of.

    Attributes:
        measured: what the statistics take; None where the metric is not known here.
        samples: a digest of the samples that the runs are of.
        remarks: why the engine had no estimate of it.
    """

    cell: Cell
    measured: Measured | None = None
    samples: str = ""
    remarks: Sequence[str] = ()


class Kept:
    """What records keep per sample, read once, of the samples that all of them answered.

    Args:
        runs: of a task and dataset. Those of the same samples are held against each other.
    Attributes:
        remarks: which samples are left out since some run failed there.
    """

    def __init__(self, runs: Iterable[RunResult]) -> None:
        self.remarks: list[str] = []
        self._read: dict[Path, Statistics] = {}
        self._common: dict[str, BoolArray] = {}
        self._whole: dict[Path, bool] = {}
        failed = [run for run in runs if run.record.unanswered]
        by_samples: dict[str, list[Statistics]] = {}
        for run in failed:
            found = run.statistics()
            by_samples.setdefault(found.samples, []).append(found)
        for samples, every in by_samples.items():
            common = answered_by_all(every)
            if common is not None:
                self._common[samples] = common
                self.remarks.append(f"Values are {answered_words(common)}.")
        self.remarks += [f"{note}." for note in failure_notes(run.record for run in failed)]

    def of(self, run: RunResult) -> Statistics:
        """What a run's record keeps of them."""
        if run.path not in self._read:
            found = run.statistics()
            self._read[run.path] = found.restricted_to(self._common.get(found.samples))
            self._whole[run.path] = self._read[run.path] is found
        return self._read[run.path]

    def is_whole(self, run: RunResult) -> bool:
        """Whether nothing is left out of what its record's own values are of."""
        self.of(run)
        return self._whole[run.path]


def fill_in(label: str, column: Column, runs: Mapping[int, RunResult], kept: Kept) -> Filled:
    """The engine's estimate; of a metric that is not known here, the record's own values.

    Args:
        label: the model's.
        column: of the value.
        runs: by seed.
        kept: what records keep.
    """
    entries = {seed: _entry(run, column) for seed, run in sorted(runs.items())}
    metric = known_metric(column.metric, column.signature)
    if metric is None or not metric.replicates:
        return Filled(_of_records(entries))
    try:
        measured = measured_runs(
            *(label, metric, runs, repr(column)),
            kept={seed: kept.of(run) for seed, run in runs.items()},
        )
    except MMBenchError as error:
        return Filled(_of_records(entries), remarks=[f"No interval: {error}."])
    first = next(iter(runs.values()))
    own = entries[first.record.seed]
    if len(runs) == 1 and own.interval is not None and kept.is_whole(first):
        return Filled(_of_records(entries), measured, kept.of(first).samples)  # may be a BCa one
    cell = cell_of(estimate(measured), next(iter(entries.values())).scale)
    return Filled(cell, measured, kept.of(first).samples)


def cell_of(found: ModelEstimate, scale: float) -> Cell:
    """A cell of an estimate."""
    values = dict(zip(found.seeds, found.values, strict=True))
    return Cell(values, found.mean, found.sd, found.interval, scale)


def _of_records(entries: Mapping[int, MetricEntry]) -> Cell:
    values = {seed: entry.value for seed, entry in entries.items()}
    found, first = list(values.values()), next(iter(entries.values()))
    mean = sum(found) / len(found)
    spread = sum((value - mean) ** 2 for value in found)
    sd = (spread / (len(found) - 1)) ** 0.5 if len(found) > 1 else None
    own = first.interval if len(found) == 1 else None
    interval = Interval(**own.model_dump()) if own is not None else None
    return Cell(values, mean, sd, interval, first.scale)


def _entry(run: RunResult, column: Column) -> MetricEntry:
    return next(
        entry
        for entry in run.record.metrics
        if entry.category is None and entry.signature == column.signature
    )


@cache
def known_metric(name: str, signature: str) -> Metric | None:
    """The metric, if it is defined here as it was for the records."""
    try:
        metric: Metric = registry.load("metrics", name)()
    except MMBenchError:
        return None
    return metric if metric.signature == signature else None
