"""`main`: models by metrics; datasets of a task that the same models were run on share a table."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.reports.captions import data_words, measured_words, statistics_words, value_words
from mmbench.reports.layouts.options import (
    Options,
    baseline_row,
    column_heads,
    column_numbers,
    dataset_names,
    marks_for,
    parameters_of,
    seeds_of_rows,
    sheet_name,
    titles,
    unequal_remarks,
)
from mmbench.reports.names import task_title
from mmbench.reports.sheet import Head, Line, Sheet
from mmbench.reports.table import Row, Table

_SHARED = 2 / 3  # of the models of several datasets, for one table
_FEW = 4  # columns, for one table


def main(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """A table for each task and dataset; in a paper one for datasets of the same models."""
    return [_sheet(group, options) for group in grouped(tables, options.paper)]


def grouped(tables: Sequence[Table], together: bool) -> list[list[Table]]:
    """Those that stand in one: of one task, with few columns, and most models are in each."""
    groups: list[list[Table]] = []
    for table in tables:
        home = next((g for g in groups if together and _fits(g, table)), None)
        if home is None:
            groups.append([table])
        else:
            home.append(table)
    return groups


def _fits(group: Sequence[Table], table: Table) -> bool:
    if group[0].columns[0].task != table.columns[0].task:
        return False
    if sum(len(each.columns) for each in (*group, table)) > _FEW:
        return False
    sets = [{row.label for row in each.rows} for each in (*group, table)]
    every = set().union(*sets)
    return all(len(labels) >= _SHARED * len(every) for labels in sets)


def _sheet(tables: Sequence[Table], options: Options) -> Sheet:
    columns = [(table, column) for table in tables for column in table.columns]
    rows: dict[str, list[Row]] = {}
    for table in tables:
        for row in table.rows:
            rows.setdefault(row.label, []).append(row)
    named = titles([of[0] for of in rows.values()])
    baseline = baseline_row([of[0] for of in rows.values()], options.baseline)
    marks = marks_for(tables, baseline)
    heads = column_heads(tables, options)
    numbers = {c: column_numbers(table, c, marks, options) for table, c in columns}
    about = [Head("Parameters"), Head("Seeds")] if not options.paper else []
    lines = [
        Line(
            title=named[label],
            label=label,
            shown=[
                *([parameters_of(of), seeds_of_rows(of)] if about else []),
                *(numbers[c].get(label) for _, c in columns),
            ],
            facts={"model": of[0].model, "parameters": next(iter(of[0].parameters.values()))},
        )
        for label, of in sorted(rows.items(), key=lambda item: _rank(item[0], tables))
    ]
    letters = marks.family is not None and baseline is None
    everyone = [row for of in rows.values() for row in of]
    caption = [
        f"{measured_words(tables)} on {data_words(tables)}.",
        value_words(everyone, options.spread),
        statistics_words(marks, letters, named.get(baseline or ""), options.level),
    ]
    remarks = [*unequal_remarks(everyone, named), *marks.remarks]
    if not options.paper:
        remarks += [remark for table in tables for remark in table.remarks]
    task = tables[0].columns[0].task
    return Sheet(
        name=sheet_name("main", task, *dict.fromkeys(c.dataset for _, c in columns)),
        title=f"{task_title(task)}: {dataset_names(tables)}",
        caption=" ".join(caption),
        heads=[*about, *(heads[c] for _, c in columns)],
        lines=lines,
        remarks=list(dict.fromkeys(remarks)),
        spread=options.spread,
        tests=marks.tests,
    )


def _rank(label: str, tables: Sequence[Table]) -> float:
    """A row's mean place in the tables that it is in, each best first; 0 to 1."""
    places = []
    for table in tables:
        labels = [row.label for row in table.rows]
        if label in labels:
            places.append(labels.index(label) / len(labels))
    return sum(places) / len(places)
