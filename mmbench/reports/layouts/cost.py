"""`cost`: what each model takes, beside its primary score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.reports.captions import (
    data_words,
    listed,
    measured_words,
    statistics_words,
    value_words,
)
from mmbench.reports.costs import COSTS, Cost, cost_of
from mmbench.reports.layouts.options import (
    Options,
    baseline_row,
    column_heads,
    column_numbers,
    marks_for,
    sheet_name,
    titles,
    unequal_remarks,
)
from mmbench.reports.names import dataset_title, in_sentence
from mmbench.reports.sheet import Head, Line, Sheet, Shown
from mmbench.reports.table import Table


def cost(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """A table for each task and dataset: parameters, operations, times and memory, mean over runs.

    What no record says has no column.
    """
    return [_sheet(table, options) for table in tables]


def _sheet(table: Table, options: Options) -> Sheet:
    primary = table.columns[0]
    part = Table([primary], table.entries, table.rows, {}, [])
    rows = [row for row in table.rows if primary in row.cells]
    baseline = baseline_row(rows, options.baseline)
    marks = marks_for([part], baseline)
    head = column_heads([part], options)[primary]
    numbers = column_numbers(part, primary, marks, options)
    costs = {kind: {row.label: cost_of(row.results(), kind) for row in rows} for kind in COSTS}
    kinds = [k for k in COSTS if any(costs[k].values())]
    named = titles(rows)
    lines = []
    for row in rows:
        shown: list[Shown] = [numbers[row.label]]
        for kind in kinds:
            value = costs[kind][row.label]
            shown.append(None if value is None else kind.text(value))
        facts: dict[str, Any] = {"model": row.model, "parameters": row.parameters[primary]}
        facts |= {kind.name: costs[kind][row.label] for kind in kinds}
        lines.append(Line(named[row.label], row.label, shown, facts))
    letters = marks.family is not None and baseline is None
    devices = sorted({run.record.environment.device_name for row in rows for run in row.results()})
    tested = statistics_words(marks, letters, named.get(baseline or ""), options.level)
    caption = (
        f"Cost beside {in_sentence(measured_words([part]))} on {data_words([part])}. "
        f"{value_words(rows, options.spread)} {tested} Operations are those of one sample's "
        "forward pass; training, latency (one sample alone) and throughput are means over the runs"
        f" on {listed(devices)}."
    )
    return Sheet(
        name=sheet_name("cost", primary.task, primary.dataset),
        title=f"Cost on {dataset_title(primary.dataset)}",
        caption=caption,
        heads=[head, *(_head(kind, kinds) for kind in kinds)],
        lines=lines,
        remarks=[*unequal_remarks(rows, named), *([] if options.paper else table.remarks)],
        spread=options.spread,
        tests=marks.tests,
    )


def _head(kind: Cost, kinds: Sequence[Cost]) -> Head:
    """What stands above a cost; of a group's only one the group's title."""
    if not kind.group:
        return Head(kind.title)
    alone = sum(other.group == kind.group for other in kinds) == 1
    return Head(kind.group) if alone else Head(kind.title, (kind.group,))
