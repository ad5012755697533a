"""What a page says of one task and dataset before its samples: tables, verdicts, conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import Conditions, conditions
from mmbench.experiments.measured_runs import measured_runs
from mmbench.experiments.score import load_metrics
from mmbench.reports.cells import Cell, Column
from mmbench.reports.costs import COSTS, cost_of
from mmbench.reports.escape import one_line
from mmbench.reports.names import full_metric_title
from mmbench.reports.page.figures import Drawn, Point, comparison_figure, cost_figure
from mmbench.reports.page.samples import SampleSet
from mmbench.reports.table import Row, Table
from mmbench.statistics.family import Family, compare_models


@dataclass(frozen=True)
class Shown:
    """A cell as a page shows it.

    Attributes:
        text: what stands in it.
        more: what stands below, such as the interval.
        order: what the column is sorted by; the text if None.
        best: whether it is the best of its column.
    """

    text: str
    more: str = ""
    order: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Head:
    """A column's head.

    Attributes:
        text: what stands in it.
        title: what it means, in full.
        number: whether the cells are numbers.
    """

    text: str
    title: str = ""
    number: bool = True


@dataclass(frozen=True)
class Grid:
    """A table as a page shows it: a row of cells for each model."""

    caption: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Shown]]


@dataclass(frozen=True)
class Group:
    """What of a task and dataset may be compared: one split, fingerprint, limit.

    Attributes:
        name: the split, and what else tells it from others of the dataset.
        columns: a metric each, the primary one first.
        samples: those that were asked; None where the records keep no answers.
    """

    name: str
    columns: Sequence[Column]
    samples: SampleSet | None
    verdicts: Sequence[str] = ()
    letters: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Drawn] = ()


@dataclass(frozen=True)
class Section:
    """A task and dataset.

    Attributes:
        title: both.
        facts: what was run, in a line.
        groups: what may be compared.
        grids: results, cost, categories.
        equal: what was the same in all runs, in words.
        differed: what was not, and by model how.
        notes: signatures, and what else a reader must know.
    """

    title: str
    facts: str
    groups: Sequence[Group]
    grids: Sequence[Grid]
    equal: str
    differed: Grid | None
    notes: Sequence[str]


def make_section(table: Table) -> Section:
    """What a page says of a report's table."""
    groups = [_compared(table, group) for group in _groups(table)]
    records = {row.label: [run.record for run in row.results()] for row in table.rows}
    found = conditions(records)
    first = next(iter(records.values()))[0]
    seeds = sorted({record.seed for runs in records.values() for record in runs})
    models = len(table.rows)
    facts = (
        f"{', '.join(group.name for group in groups)}; {first.samples:,} samples, "
        f"{models} {'model' if models == 1 else 'models'}, "
        f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"
    )
    notes = [f"{column.label}: {note}" for column, note in table.notes.items()]
    unequal = {row.label: row.unequal for row in table.rows if row.unequal}
    notes += [f"{label} is not trained as the others are: {w}" for label, w in unequal.items()]
    return Section(
        title=one_line(table.title),
        facts=one_line(facts),
        groups=groups,
        grids=[g for g in (_results(table, groups), _cost(table), _categories(table)) if g],
        equal=one_line(", ".join(found.equal)),
        differed=_differed(found, list(records)),
        notes=[one_line(note) for note in [*notes, *table.remarks]],
    )


def _groups(table: Table) -> list[Group]:
    columns: dict[tuple[str, str, int | None, str], list[Column]] = {}
    for column in table.columns:
        place = (column.split, column.fingerprint, column.limit, column.kind)
        columns.setdefault(place, []).append(column)
    splits = [split for split, *_ in columns]
    groups = []
    for (split, fingerprint, limit, kind), own in columns.items():
        name = f"{split} split" if limit is None else f"first {limit:,} of the {split} split"
        name += f" ({kind})" if kind else ""
        if limit is None and splits.count(split) > 1:
            name += f", data {fingerprint[:8]}"
        runs = {row.label: row.runs[own[0]] for row in table.rows if own[0] in row.runs}
        # Of many runs only a few may have been kept with their answers: those are shown.
        answered = {
            label: kept
            for label, of in runs.items()
            if (kept := {seed: run for seed, run in of.items() if run.has_predictions})
        }
        asked = SampleSet(one_line(f"{table.title}/{name.replace(' split', '')}"), answered)
        groups.append(Group(one_line(name), own, asked if answered else None))
    return groups


def _compared(table: Table, group: Group) -> Group:
    """The group with what its primary metric says of the models."""
    column = group.columns[0]
    rows = [row for row in table.rows if column in row.cells]
    family, why = _family(rows, column)
    letters = next(iter(family.letters.values()), {}) if family else {}
    verdicts = list(family.verdicts.values()) if family else [why] if why else []
    points = [_point(row, column) for row in rows]
    title = one_line(full_metric_title(column.metric))
    figures = [comparison_figure(points, title), cost_figure(points, title)]
    return Group(
        group.name,
        group.columns,
        group.samples,
        [one_line(f"{verdict}.") for verdict in verdicts],
        letters,
        [figure for figure in figures if figure],
    )


def _family(rows: Sequence[Row], column: Column) -> tuple[Family | None, str]:
    """All pairs of the rows by the column's metric; or why they cannot be compared."""
    if len(rows) < 2:
        return None, ""
    try:
        metric = load_metrics([column.metric])[0]
        measured = [measured_runs(row.label, metric, row.runs[column]) for row in rows]
        return compare_models(measured), ""
    except MMBenchError as error:
        return None, f"No differences were tested: {error}"


def _point(row: Row, column: Column) -> Point:
    cell, runs = row.cells[column], list(row.runs[column].values())
    record = runs[0].record
    interval = cell.interval
    return Point(
        model=one_line(row.label),
        value=cell.mean * cell.scale,
        low=interval.low * cell.scale if interval else None,
        high=interval.high * cell.scale if interval else None,
        values=tuple(value * cell.scale for value in cell.values.values()),
        flops=record.flops_per_sample,
        parameters=sum(record.parameters.values()) or None,
    )


def _results(table: Table, groups: Sequence[Group]) -> Grid:
    heads = [Head("model", number=False), Head("seeds", "how many trainings")]
    for group in groups:
        for column in group.columns:
            alone = len(groups) == 1
            title = full_metric_title(column.metric)
            text = title if alone else f"{group.name}: {title}"
            heads.append(Head(one_line(text), one_line(table.notes[column])))
            if column is group.columns[0] and group.letters:
                title = "by the metric before: models that share a letter cannot be told apart"
                heads.append(Head("letters", title, number=False))
    best = {column: _best(table, column) for group in groups for column in group.columns}
    rows = []
    for row in table.rows:
        counts = [len(cell.values) for cell in row.cells.values()]
        seeds = str(max(counts)) if len(set(counts)) == 1 else f"{min(counts)}-{max(counts)}"
        cells = [Shown(one_line(row.label)), Shown(seeds, order=max(counts))]
        for group in groups:
            for column in group.columns:
                cells.append(_value(row.cells.get(column), best[column]))
                if column is group.columns[0] and group.letters:
                    cells.append(Shown(group.letters.get(row.label, "")))
        rows.append(cells)
    return Grid("Results", heads, rows)


def _best(table: Table, column: Column) -> float | None:
    """The best mean of the column, where there are several."""
    values = [row.cells[column].mean for row in table.rows if column in row.cells]
    entry = next(
        e
        for row in table.rows
        if column in row.runs
        for e in next(iter(row.runs[column].values())).record.metrics
        if e.signature == column.signature
    )
    return (max if entry.higher_is_better else min)(values) if len(values) > 1 else None


def _value(cell: Cell | None, best: float | None) -> Shown:
    if cell is None:
        return Shown("-")
    text, more = f"{cell.mean * cell.scale:.2f}", ""
    if cell.sd is not None:
        text += f" \u00b1 {cell.sd * cell.scale:.2f}"
    if cell.interval is not None:
        more = f"[{cell.interval.low * cell.scale:.2f}, {cell.interval.high * cell.scale:.2f}]"
    return Shown(text, more, cell.mean, cell.mean == best)


_COSTS = [
    cost for cost in COSTS if cost.name != "latency_p95_ms"
]  # as many as a screen has room for


def _cost(table: Table) -> Grid | None:
    found = {cost: [cost_of(row.results(), cost) for row in table.rows] for cost in _COSTS}
    kept = {cost: values for cost, values in found.items() if any(values)}
    if not kept:
        return None
    heads = [Head("model", number=False), *(Head(cost.axis, "mean over runs") for cost in kept)]
    rows = [
        [Shown(one_line(row.label)), *(_number(of[at], cost.text) for cost, of in kept.items())]
        for at, row in enumerate(table.rows)
    ]
    return Grid("Cost", heads, rows)


def _number(value: float | None, form: Callable[[float], str]) -> Shown:
    return Shown("-") if value is None else Shown(form(value), order=value)


def _categories(table: Table) -> Grid | None:
    """The primary metric by category, mean over seeds."""
    column = table.columns[0]
    names: dict[str, None] = {}
    found: list[tuple[Row, dict[str, float]]] = []
    for row in table.rows:
        values: dict[str, list[float]] = {}
        for run in row.runs.get(column, {}).values():
            for entry in run.record.metrics:
                if entry.category is not None and entry.signature == column.signature:
                    values.setdefault(entry.category, []).append(entry.value * entry.scale)
        found.append((row, {name: sum(of) / len(of) for name, of in values.items()}))
        names |= dict.fromkeys(values)
    if not names:
        return None
    heads = [Head("model", number=False), *(Head(one_line(name)) for name in names)]
    rows = [
        [
            Shown(one_line(row.label)),
            *(_number(values.get(name), lambda v: f"{v:.2f}") for name in names),
        ]
        for row, values in found
    ]
    title = f"{full_metric_title(column.metric)} by category, {column.split} split"
    return Grid(one_line(title), heads, rows)


def _differed(found: Conditions, models: Iterable[str]) -> Grid | None:
    if not found.differed:
        return None
    heads = [Head("model", number=False)]
    heads += [Head(one_line(name), number=False) for name in found.differed]
    rows = [
        [
            Shown(one_line(model)),
            *(Shown(one_line(by_model.get(model, "-"))) for by_model in found.differed.values()),
        ]
        for model in models
    ]
    return Grid("What differed", heads, rows)
