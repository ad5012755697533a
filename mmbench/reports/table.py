"""The table of a report: a row a model, a column a comparable, a cell the values of all seeds.

Numbers that may not be compared are never put in one column: a column is (task, dataset, split,
fingerprint, limit, metric signature).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmbench.recipe import digest
from mmbench.records.record import IntervalEntry, MetricEntry, Record


@dataclass(frozen=True)
class Column:
    """What the numbers of one column have in common."""

    task: str
    dataset: str
    split: str
    fingerprint: str
    limit: int | None
    signature: str

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.signature.partition("|")[0]

    @property
    def label(self) -> str:
        """What stands above the column, in a table of one task and dataset."""
        return f"{self.split} {self.metric}"


@dataclass
class Cell:
    """A model's values in a column, by seed; unscaled."""

    entries: dict[int, MetricEntry] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """By seed, without those that have none."""
        values = [entry.value for _, entry in sorted(self.entries.items())]
        return [value for value in values if value is not None]

    @property
    def mean(self) -> float | None:
        """Over seeds; None where there is no value."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (n - 1); None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> IntervalEntry | None:
        """Of the value, where only one seed has one."""
        found = [entry for entry in self.entries.values() if entry.value is not None]
        return found[0].interval if len(found) == 1 else None


@dataclass
class Row:
    """A model as it was run: recipe, changes to it, origin of its weights.

    Attributes:
        label: what stands before the row.
        parameters: total, by column (vocabularies differ between datasets).
        cells: by column.
    """

    label: str
    parameters: dict[Column, int] = field(default_factory=dict)
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


def make_tables(records: Iterable[Record]) -> list[Table]:
    """A table for each task and dataset, in order of their names."""
    places: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        places.setdefault((record.task, record.dataset), []).append(record)
    return [make_table(found) for _, found in sorted(places.items())]


def make_table(records: Iterable[Record]) -> Table:
    """The table of these records. A run that was recorded twice counts once, the newer time."""
    newest: dict[tuple[str, str, int], Record] = {}
    total = 0
    for record in sorted(records, key=lambda r: r.created):
        newest[(record.model, record.hash, record.seed)] = record
        total += 1
    rows: dict[tuple[str, str], Row] = {}
    columns: dict[Column, MetricEntry] = {}
    for record in newest.values():
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
            )
            columns.setdefault(column, entry)
            row.cells.setdefault(column, Cell()).entries[record.seed] = entry
            row.parameters[column] = sum(record.parameters.values())
    # Metrics come in the order of the records: that of the task, the most important one first.
    ordered = sorted(columns, key=lambda c: (c.task, c.dataset, c.split, c.limit or 0))
    _tell_apart(list(rows.values()), list(rows))
    ranked = sorted(rows.values(), key=lambda row: _rank(row, ordered, columns))
    remarks = []
    if total > len(newest):
        remarks.append(f"{total - len(newest)} older records of the same runs are left out.")
    return Table(ordered, ranked, {c: _note(c, ordered, columns[c]) for c in ordered}, remarks)


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
        mean = row.cells[column].mean if column in row.cells else None
        if mean is not None:
            return place, -mean if metrics[column].higher_is_better else mean, row.label
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
        names = ("fingerprint", "limit", "signature")
        differ = [n for n in names if any(getattr(t, n) != getattr(column, n) for t in twins)]
        parts.append(f"not comparable with its namesake: another {' and '.join(differ)}")
    return "; ".join(parts)
