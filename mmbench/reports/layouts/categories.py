"""`categories`: the primary metric by kind of sample: kinds of question, of interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmbench.errors import MMBenchError
from mmbench.records.statistics_file import Statistics
from mmbench.reports.captions import data_words, measured_words, statistics_words, value_words
from mmbench.reports.cells import Cell, Column, Kept, cell_of, known_metric
from mmbench.reports.layouts.options import (
    Options,
    baseline_row,
    column_heads,
    facts_of,
    sheet_name,
    titles,
    unequal_remarks,
)
from mmbench.reports.names import dataset_title, tidied
from mmbench.reports.sheet import Head, Line, Sheet, best_of, decimals_for, number_of
from mmbench.reports.significance import Marks, Measurement, marks_of
from mmbench.reports.table import Row, Table
from mmbench.statistics.comparison import estimate
from mmbench.statistics.measured import Measured, measure

ALL = ""  # the place of all samples among the categories


def categories(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """A table for each dataset whose samples have categories.

    Raises: MMBenchError if there is none.
    """
    sheets = [_sheet(table, options) for table in tables if category_names(table)]
    if not sheets:
        raise MMBenchError("no record there has values by category: its dataset names none")
    return sheets


def category_names(table: Table) -> list[str]:
    """Those that the records have values of the first metric for."""
    column = table.columns[0]
    found = [
        entry.category
        for row in table.rows
        for run in row.results()
        for entry in run.record.metrics
        if entry.signature == column.signature and entry.category is not None
    ]
    return sorted(dict.fromkeys(found))


def category_cells(table: Table) -> dict[str, dict[str, tuple[Cell, Measurement | None]]]:
    """By category (`ALL` first) and the row's label, the value and what tests take of it."""
    column = table.columns[0]
    names = [ALL, *category_names(table)]
    cells: dict[str, dict[str, tuple[Cell, Measurement | None]]] = {name: {} for name in names}
    for row in table.rows:
        if column not in row.cells:
            continue
        for name in names:
            found = _cell(row, column, name, table.kept)
            if found is not None:
                cells[name][row.label] = found
    return cells


def _cell(
    row: Row, column: Column, category: str, kept: Kept
) -> tuple[Cell, Measurement | None] | None:
    if category == ALL:
        measured, samples = row.measured.get(column), row.samples.get(column, "")
        if measured is None:
            return row.cells[column], None
        named = replace(measured, dataset=_place(column, category))
        return row.cells[column], Measurement(row.label, named, samples)
    runs = row.runs[column]
    values = {
        seed: entry.value
        for seed, run in sorted(runs.items())
        for entry in run.record.metrics
        if entry.category == category and entry.signature == column.signature
    }
    if len(values) < len(runs):
        return None
    if column not in row.measured:
        found = list(values.values())
        return Cell(values, sum(found) / len(found), None, None, row.cells[column].scale), None
    measured = _of_category(row, column, category, {s: kept.of(r) for s, r in runs.items()})
    if measured is None:
        return None
    cell = cell_of(estimate(measured), row.cells[column].scale)
    return cell, Measurement(row.label, measured, row.samples[column])


def _of_category(
    row: Row, column: Column, category: str, kept: Mapping[int, Statistics]
) -> Measured | None:
    metric = known_metric(column.metric, column.signature)
    first = next(iter(kept.values()))
    chosen = first.of_category(category)
    by_seed: dict[int, Any] = {s: k.by_metric.get(column.metric) for s, k in kept.items()}
    if metric is None or any(v is None or len(v) != len(chosen) for v in by_seed.values()):
        return None
    return measure(
        *(row.label, metric, {s: v[chosen] for s, v in by_seed.items()}, first.groups[chosen]),
        dataset=_place(column, category),
    )


def _place(column: Column, category: str) -> str:
    return f"{column!r} {category}"


def _sheet(table: Table, options: Options) -> Sheet:
    column = table.columns[0]
    part = Table([column], table.entries, table.rows, {}, [])
    higher = table.entries[column].higher_is_better
    found = category_cells(table)
    rows = [row for row in table.rows if row.label in found[ALL]]
    baseline = baseline_row(rows, options.baseline)
    measured = [m for of in found.values() for _, m in of.values() if m is not None]
    marks: Marks = marks_of(measured, baseline)
    named = titles(rows)
    numbers = {}
    for name, of in found.items():
        cells = {label: cell for label, (cell, _) in of.items()}
        best, decimals = best_of(cells, higher), decimals_for(cells.values(), 1)
        for label, cell in cells.items():
            mark = marks.of(_place(column, name), label)
            numbers[name, label] = number_of(cell, mark, label in best, decimals)
    head = column_heads([part], options)[column]
    facts = facts_of(column) | {"scale": head.facts["scale"]}
    heads = [Head("All", (), facts, head.lower_is_better)] + [
        Head(tidied(name), (), facts | {"category": name}, head.lower_is_better)
        for name in found
        if name != ALL
    ]
    lines = [
        Line(
            *(named[row.label], row.label, [numbers.get((name, row.label)) for name in found]),
            facts={"model": row.model, "parameters": row.parameters[column]},
        )
        for row in rows
    ]
    letters = marks.family is not None and baseline is None
    caption = (
        f"{measured_words([part])} by kind of sample, on {data_words([part])}. "
        f"{value_words(rows, options.spread)} "
        f"{statistics_words(marks, letters, named.get(baseline or ''), options.level)}"
    )
    remarks = [*unequal_remarks(rows, named), *marks.remarks]
    return Sheet(
        name=sheet_name("categories", column.task, column.dataset),
        title=f"Kinds of sample in {dataset_title(column.dataset)}",
        caption=caption,
        heads=heads,
        lines=lines,
        remarks=[*remarks, *([] if options.paper else table.remarks)],
        spread=options.spread,
        tests=marks.tests,
    )
