"""The numbers of a report: a row a model, a column a comparable, a cell the values of all seeds.

Numbers that may not be compared are never put in one column: a column is (task, dataset, split,
fingerprint, limit, metric signature), and unless asked for otherwise the kind of device and the
versions of parts. What of them is shown, and how, is a layout's matter (`layouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from mmbench import registry
from mmbench.experiments.conditions import footnotes, unequal_training
from mmbench.experiments.result import RunResult
from mmbench.recipe import digest
from mmbench.records.record import MetricEntry, Record
from mmbench.reports.cells import Cell, Column, Kept, fill_in
from mmbench.reports.names import model_title
from mmbench.statistics.measured import Measured
from mmbench.versions import undeciding

Wanted = Callable[[Record, MetricEntry], bool]


@dataclass
class Row:
    """A model as it was run: recipe, changes to it, origin of its weights.

    Attributes:
        model: the recipe's name.
        changes: what `--set` changed, by key.
        weights: where they are from, as records have it.
        label: tells it from all other rows.
        parameters: total, by column (vocabularies differ between datasets).
        runs: by column and seed.
        cells: by column.
        measured: by column, what the statistics take; none where the metric is not known here.
        samples: by column, a digest of the samples that its runs are of.
        unequal: in words, what of its training is not that of most others; "" for nothing.
    """

    model: str
    changes: Mapping[str, Any]
    weights: str
    label: str
    parameters: dict[Column, int] = field(default_factory=dict)
    runs: dict[Column, dict[int, RunResult]] = field(default_factory=dict)
    cells: dict[Column, Cell] = field(default_factory=dict)
    measured: dict[Column, Measured] = field(default_factory=dict)
    samples: dict[Column, str] = field(default_factory=dict)
    unequal: str = ""

    @property
    def title(self) -> str:
        """What a reader calls it."""
        return model_title(self.model) + self.label.removeprefix(self.model)

    @property
    def record(self) -> Record:
        """Of any of its runs."""
        return next(iter(next(iter(self.runs.values())).values())).record

    def record_of(self, column: Column) -> Record:
        """Of any of its runs in a column."""
        return next(iter(self.runs[column].values())).record

    def results(self) -> list[RunResult]:
        """All its runs, each once."""
        return list({run.path: run for of in self.runs.values() for run in of.values()}.values())


@dataclass
class Table:
    """All numbers of a task and dataset.

    Attributes:
        columns: in order of split; metrics as the task names them.
        entries: by column, the value of some run: scale, direction, samples.
        rows: best first in the first column that they stand in.
        notes: by column: what the numbers are, and how they were computed.
        remarks: what else a reader must know.
        kept: what the records keep per sample.
    """

    columns: list[Column]
    entries: dict[Column, MetricEntry]
    rows: list[Row]
    notes: dict[Column, str]
    remarks: list[str]
    kept: Kept = field(default_factory=lambda: Kept(()), repr=False, compare=False)

    @property
    def title(self) -> str:
        """The tasks and datasets that it is of."""
        return ", ".join(dict.fromkeys(f"{c.task}/{c.dataset}" for c in self.columns))

    def ordered_by(self, metrics: Sequence[str]) -> Table:
        """The same with the columns of each split in this order of metrics."""
        places = {name: place for place, name in enumerate(metrics)}
        columns = sorted(self.columns, key=lambda c: (c.split, c.limit or 0, places[c.metric]))
        return replace(self, columns=columns)

    def values(self, column: Column) -> dict[str, Cell]:
        """The cells of a column by the rows' labels."""
        return {row.label: row.cells[column] for row in self.rows if column in row.cells}


def make_tables(
    runs: Iterable[RunResult], allow_mixed: bool = False, wanted: Wanted | None = None
) -> list[Table]:
    """The numbers of each task and dataset, in order of their names.

    Args:
        runs: whose records are whole.
        allow_mixed: put runs of different kinds of device, or of versions of one part, into one
            column.
        wanted: which metrics are in them; all if None.
    """
    places: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        places.setdefault((run.record.task, run.record.dataset), []).append(run)
    made = [make_table(found, allow_mixed, wanted) for _, found in sorted(places.items())]
    return [table for table in made if table.columns]


def make_table(
    runs: Iterable[RunResult], allow_mixed: bool = False, wanted: Wanted | None = None
) -> Table:
    """The numbers of these runs. One that was recorded twice counts once, the newer time."""
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
        kind = "" if allow_mixed else _kind(run.record, differing)
        for entry in run.record.metrics:
            if entry.category is None and (wanted is None or wanted(run.record, entry)):
                column = _column(run.record, entry, kind)
                columns.setdefault(column, entry)
                _row(rows, run.record).runs.setdefault(column, {})[run.record.seed] = run
    shared = _shared_changes(list(rows.values()))
    for row in rows.values():
        row.label = label_of(row.record, shared)
    # Metrics come in the order of the records: that of the task, the most important one first.
    ordered = sorted(columns, key=lambda c: (c.task, c.dataset, c.split, c.limit or 0))
    _tell_apart(list(rows.values()), list(rows))
    kept = Kept(newest.values())
    remarks: list[str] = list(kept.remarks)
    if shared:
        remarks.append(f"All that were trained have {', '.join(sorted(shared))}.")
    for row in rows.values():
        for column, of_seed in row.runs.items():
            any_run = next(iter(of_seed.values()))
            row.parameters[column] = sum(any_run.record.parameters.values())
            filled = fill_in(row.label, column, of_seed, kept)
            row.cells[column] = filled.cell
            if filled.measured is not None:
                row.measured[column], row.samples[column] = filled.measured, filled.samples
            remarks += filled.remarks
    unequal = unequal_training({row.label: row.record.recipe for row in rows.values()})
    for row in rows.values():
        row.unequal = unequal.get(row.label, "")
    if allow_mixed and differing:
        remarks.append(f"Runs of different {', '.join(differing)} stand in one column.")
    if total > len(newest):
        remarks.append(f"{total - len(newest)} older records of the same runs are left out.")
    remarks += [f"{note[0].upper()}{note[1:]}." for note in footnotes(records)]
    ranked = sorted(rows.values(), key=lambda row: _rank(row, ordered, columns))
    notes = {column: _note(column, ordered, columns[column]) for column in ordered}
    return Table(ordered, {c: columns[c] for c in ordered}, ranked, notes, remarks, kept)


def _column(record: Record, entry: MetricEntry, kind: str) -> Column:
    return Column(
        *(record.task, record.dataset, record.split, record.fingerprint, record.limit),
        *(entry.signature, kind),
    )


def _row(rows: dict[tuple[str, str], Row], record: Record) -> Row:
    variant = (record.recipe, record.weights.source, record.weights.sha256)
    row = Row(record.model, record.overrides, record.weights.source, label_of(record))
    return rows.setdefault((record.model, digest(variant)), row)


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


def _shared_changes(rows: Sequence[Row]) -> set[str]:
    """Changes that all rows that were trained have alike: no row is told from another by them."""
    trained = [row.record for row in rows if row.weights == "trained"]
    if len(trained) < 2:
        return set()
    return set.intersection(*({changed(k, v) for k, v in r.overrides.items()} for r in trained))


def label_of(record: Record, shared: Collection[str] = ()) -> str:
    """What records call a run's model: recipe, changes to it, origin of its weights.

    Args:
        shared: changes that are said elsewhere.
    """
    nothing = _deciding_nothing(record)
    changes = [changed(k, v) for k, v in record.overrides.items() if k not in nothing]
    changes = [change for change in changes if change not in shared]
    if record.weights.source in ("shipped", "checkpoint"):
        changes.append(f"{record.weights.source} weights")
    return record.model + (f" ({', '.join(changes)})" if changes else "")


def changed(key: str, value: Any) -> str:
    """A change to a recipe as `--set` takes it.

    >>> changed("train.epochs", 3), changed("fusion", {"name": "ban", "heads": 2})
    ('train.epochs=3', 'fusion={name: ban, heads: 2}')
    """
    if not isinstance(value, dict | list):
        return f"{key}={value}"
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"))
    return f"{key}={text.strip()}"


def _deciding_nothing(record: Record) -> set[str]:
    """Changes that are no other model, such as where the server of one is."""
    predictor = record.recipe.get("predictor")
    name = predictor.get("name") if isinstance(predictor, dict) else predictor  # of early records
    if not name or not registry.has("predictors", name):
        return set()
    options = undeciding("predictors", name)
    return {*options, *(f"predictor.{option}" for option in options)}


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
