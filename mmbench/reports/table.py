"""The table of a report: a row a model, a column a comparable, a cell the values of all seeds.

Numbers that may not be compared are never put in one column: a column is (task, dataset, split,
fingerprint, limit, metric signature), and unless asked for otherwise the kind of device and the
versions of parts. Means and intervals are those of the engine that compares models, from what the
records keep per sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import footnotes, unequal_training
from mmbench.experiments.measured_runs import measured_runs
from mmbench.experiments.result import RunResult
from mmbench.metrics.base import Metric
from mmbench.recipe import digest
from mmbench.records.record import MetricEntry, Record
from mmbench.records.statistics_file import Statistics
from mmbench.statistics.bootstrap import Interval
from mmbench.statistics.comparison import estimate

_MARK = "*"


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
        """What stands above the column, in a table of one task and dataset."""
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


@dataclass
class Row:
    """A model as it was run: recipe, changes to it, origin of its weights.

    Attributes:
        label: what stands before the row.
        parameters: total, by column (vocabularies differ between datasets).
        runs: by column and seed.
        cells: by column.
    """

    label: str
    parameters: dict[Column, int] = field(default_factory=dict)
    runs: dict[Column, dict[int, RunResult]] = field(default_factory=dict)
    cells: dict[Column, Cell] = field(default_factory=dict)


@dataclass
class Table:
    """A report's table.

    Attributes:
        columns: in order of task, dataset, split; metrics as the task names them.
        rows: best first in the first column that they stand in.
        notes: by column, its footnote: what the numbers are, and how they were computed.
        remarks: what else a reader must know.
    """

    columns: list[Column]
    rows: list[Row]
    notes: dict[Column, str]
    remarks: list[str]

    @property
    def title(self) -> str:
        """The tasks and datasets that it is of."""
        return ", ".join(dict.fromkeys(f"{c.task}/{c.dataset}" for c in self.columns))


def make_tables(runs: Iterable[RunResult], allow_mixed: bool = False) -> list[Table]:
    """A table for each task and dataset, in order of their names.

    Args:
        runs: whose records are whole.
        allow_mixed: put runs of different kinds of device, or of versions of one part, into one
            column.
    """
    places: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        places.setdefault((run.record.task, run.record.dataset), []).append(run)
    return [make_table(found, allow_mixed) for _, found in sorted(places.items())]


def make_table(runs: Iterable[RunResult], allow_mixed: bool = False) -> Table:
    """The table of these runs. One that was recorded twice counts once, the newer time."""
    newest: dict[tuple[str, str, int], RunResult] = {}
    total = 0
    for run in sorted(runs, key=lambda r: r.record.created):
        newest[(run.record.model, run.record.hash, run.record.seed)] = run
        total += 1
    records = [run.record for run in newest.values()]
    differing = _differing(records)
    rows: dict[tuple[str, str], Row] = {}
    columns: dict[Column, MetricEntry] = {}
    for run in newest.values():
        record = run.record
        variant = (record.recipe, record.weights.source, record.weights.sha256)
        row = rows.setdefault((record.model, digest(variant)), Row(_label(record)))
        for entry in record.metrics:
            if entry.category is not None:
                continue
            column = Column(
                record.task,
                record.dataset,
                record.split,
                record.fingerprint,
                record.limit,
                entry.signature,
                "" if allow_mixed else _kind(record, differing),
            )
            columns.setdefault(column, entry)
            row.runs.setdefault(column, {})[record.seed] = run
            row.parameters[column] = sum(record.parameters.values())
    # Metrics come in the order of the records: that of the task, the most important one first.
    ordered = sorted(columns, key=lambda c: (c.task, c.dataset, c.split, c.limit or 0))
    _tell_apart(list(rows.values()), list(rows))
    kept: dict[Path, Statistics] = {}
    for row in rows.values():
        row.cells = {c: _cell(row.label, c, of, kept) for c, of in row.runs.items()}
    remarks = _mark_unequal(list(rows.values()))
    if allow_mixed and differing:
        remarks.append(f"Runs of different {', '.join(differing)} stand in one column.")
    if total > len(newest):
        remarks.append(f"{total - len(newest)} older records of the same runs are left out.")
    remarks += [f"{note[0].upper()}{note[1:]}." for note in footnotes(records)]
    ranked = sorted(rows.values(), key=lambda row: _rank(row, ordered, columns))
    return Table(ordered, ranked, {c: _note(c, ordered, columns[c]) for c in ordered}, remarks)


def _cell(
    label: str, column: Column, runs: Mapping[int, RunResult], kept: dict[Path, Statistics]
) -> Cell:
    """The engine's estimate; of a metric that is not known here, the record's own values."""
    entries = {seed: _entry(run, column) for seed, run in sorted(runs.items())}
    first = next(iter(entries.values()))
    values = {seed: entry.value for seed, entry in entries.items()}
    metric = _metric(column.metric, column.signature)
    own = first.interval
    interval = Interval(**own.model_dump()) if own is not None and len(runs) == 1 else None
    if metric is None or not metric.replicates or interval is not None:
        found = list(values.values())
        mean = sum(found) / len(found)
        spread = sum((value - mean) ** 2 for value in found)
        sd = (spread / (len(found) - 1)) ** 0.5 if len(found) > 1 else None
        return Cell(values, mean, sd, interval, first.scale)
    for run in runs.values():
        if run.path not in kept:
            kept[run.path] = run.statistics()
    measured = measured_runs(
        label, metric, runs, kept={s: kept[run.path] for s, run in runs.items()}
    )
    made = estimate(measured)
    return Cell(values, made.mean, made.sd, made.interval, first.scale)


def _entry(run: RunResult, column: Column) -> MetricEntry:
    return next(
        entry
        for entry in run.record.metrics
        if entry.category is None and entry.signature == column.signature
    )


@cache
def _metric(name: str, signature: str) -> Metric | None:
    """The metric, if it is defined here as it was for the records."""
    try:
        metric: Metric = registry.load("metrics", name)()
    except MMBenchError:
        return None
    return metric if metric.signature == signature else None


def _differing(records: Sequence[Record]) -> list[str]:
    """What runs may not differ in when they stand in one column, and these do."""
    found: dict[str, set[str]] = {}
    for record in records:
        if record.identity.device:
            found.setdefault("kinds of device", set()).add(record.identity.device)
        for part, version in record.identity.parts.items():
            found.setdefault(f"versions of {part}", set()).add(str(version))
    return [what for what, values in found.items() if len(values) > 1]


def _kind(record: Record, differing: Sequence[str]) -> str:
    words = []
    for what in differing:
        if what == "kinds of device":
            words.append(record.identity.device or "")
        elif (part := what.removeprefix("versions of ")) in record.identity.parts:
            words.append(f"{part} {record.identity.parts[part]}")
    return ", ".join(word for word in words if word)


def _mark_unequal(rows: Sequence[Row]) -> list[str]:
    """Mark the rows whose training is not that of most of the others; a remark for each."""
    recipes = {row.label: _any_run(row).record.recipe for row in rows}
    marks = unequal_training(recipes)
    for row in rows:
        if row.label in marks:
            row.label += _MARK
    return [f"{_MARK} {label} is not trained as the others are: {w}." for label, w in marks.items()]


def _any_run(row: Row) -> RunResult:
    return next(iter(next(iter(row.runs.values())).values()))


def _label(record: Record) -> str:
    changes = [f"{key}={value}" for key, value in record.overrides.items()]
    if record.weights.source in ("shipped", "checkpoint"):
        changes.append(f"{record.weights.source} weights")
    return record.model + (f" ({', '.join(changes)})" if changes else "")


def _tell_apart(rows: list[Row], keys: list[tuple[str, str]]) -> None:
    """Rows of one label differ in something that it does not say: add their digest."""
    labels = [row.label for row in rows]
    for row, (_, variant) in zip(rows, keys, strict=True):
        if labels.count(row.label) > 1:
            row.label += f" [{variant[:8]}]"


def _rank(
    row: Row, columns: list[Column], metrics: dict[Column, MetricEntry]
) -> tuple[int, float, str]:
    for place, column in enumerate(columns):
        if column in row.cells:
            sign = -1 if metrics[column].higher_is_better else 1
            return place, sign * row.cells[column].mean, row.label
    return len(columns), 0.0, row.label


def _note(column: Column, columns: list[Column], entry: MetricEntry) -> str:
    parts = [f"{column.signature}"]
    if entry.scale != 1:
        parts.append(f"x{entry.scale:g}")
    parts.append(f"data {column.fingerprint}")
    if column.limit is not None:
        parts.append(f"first {column.limit} samples only")
    else:
        parts.append(f"{entry.samples} samples")
    where = (column.task, column.dataset, column.label)
    twins = [c for c in columns if (c.task, c.dataset, c.label) == where and c != column]
    if twins:
        names = ("fingerprint", "limit", "signature", "kind")
        differ = [n for n in names if any(getattr(t, n) != getattr(column, n) for t in twins)]
        parts.append(f"not comparable with its namesake: another {' and '.join(differ)}")
    return "; ".join(parts)
