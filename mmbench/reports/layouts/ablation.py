"""`ablation`: a model, and what each change to it (`--set`) does, as differences from the base."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.errors import MMBenchError
from mmbench.reports.captions import data_words, measured_words, value_words
from mmbench.reports.cells import Column
from mmbench.reports.layouts.options import (
    Options,
    baseline_row,
    column_heads,
    column_numbers,
    facts_of,
    marks_for,
    sheet_name,
)
from mmbench.reports.names import dataset_title, model_title
from mmbench.reports.sheet import Head, Line, Number, Sheet, Shown
from mmbench.reports.significance import Marks
from mmbench.reports.table import Row, Table


def ablation(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """A table for each model of each dataset that was run as it is and with changes.

    With a baseline, that model's alone.

    Raises: MMBenchError if there is none.
    """
    sheets = []
    for table in tables:
        for model in dict.fromkeys(row.model for row in table.rows):
            rows = [row for row in table.rows if row.model == model]
            base = next((row for row in rows if not row.changes), None)
            if options.baseline is not None:
                asked = baseline_row(table.rows, options.baseline)
                base = next((row for row in rows if row.label == asked), None)
            changed = [row for row in rows if row.changes]
            if base is not None and changed:
                sheets.append(_sheet(table, base, changed, options))
    if not sheets:
        raise MMBenchError(
            "no model there was run both as it is and with changes: `mmbench run --set KEY=VALUE` "
            "makes a record of a change"
        )
    return sheets


def _sheet(table: Table, base: Row, changed: Sequence[Row], options: Options) -> Sheet:
    columns = [c for c in table.columns if c in base.cells]
    part = Table(columns, table.entries, [base, *changed], {}, [])
    marks = marks_for([part], base.label)
    heads = column_heads([part], options)
    numbers = {c: column_numbers(part, c, marks, options) for c in columns}
    lines = [
        Line(
            title=_change(row) if row is not base else model_title(base.model),
            label=row.label,
            shown=[shown for c in columns for shown in _shown(row, base, c, numbers[c], marks)],
            facts={"model": row.model, "parameters": next(iter(row.parameters.values()))},
            rule_above=row is changed[0],
        )
        for row in (base, *changed)
    ]
    level = marks.family.level if marks.family else 0.95
    tests = marks.family.tests if marks.family else 0
    caption = (
        f"Changes to {model_title(base.model)}, one a row. {measured_words([part])} on "
        f"{data_words([part])}. {value_words([base, *changed], options.spread)} Differences from "
        f"the first row with {level:.0%} intervals; bold: different after Holm's correction over "
        f"{tests} test{'s' if tests != 1 else ''}."
    )
    dataset = columns[0].dataset
    return Sheet(
        name=sheet_name("ablation", columns[0].task, dataset, base.model),
        title=f"Changes to {model_title(base.model)} on {dataset_title(dataset)}",
        caption=caption,
        heads=[head for c in columns for head in (heads[c], _difference_head(c, heads[c]))],
        lines=lines,
        remarks=[*marks.remarks, *([] if options.paper else table.remarks)],
        spread=options.spread,
        tests=marks.tests,
        first="Change",
    )


def _difference_head(column: Column, head: Head) -> Head:
    facts = facts_of(column) | {"quantity": "difference", "scale": head.facts["scale"]}
    return Head("Difference", head.groups, facts)


def _change(row: Row) -> str:
    return ", ".join(f"{key} = {value}" for key, value in row.changes.items())


def _shown(
    row: Row, base: Row, column: Column, numbers: dict[str, Number], marks: Marks
) -> tuple[Shown, Shown]:
    """A row's value, and its difference from the base."""
    number = numbers.get(row.label)
    if number is None or row is base:
        return number and _plain(number), None
    pair = marks.of(repr(column), row.label).pair
    if pair is None:
        return _plain(number), None
    found = pair.difference
    sign = 1 if found.a == row.label else -1
    low, high = sorted((sign * found.interval.low, sign * found.interval.high))
    return _plain(number), Number(
        mean=sign * found.difference,
        low=low,
        high=high,
        seeds=number.seeds,
        scale=number.scale,
        decimals=number.decimals,
        best=pair.different,
        signed=True,
        p_value=pair.adjusted,
    )


def _plain(number: Number) -> Number:
    """Without marks: here the difference has them."""
    return Number(
        *(number.mean, number.sd, number.low, number.high),
        *(number.seeds, number.scale, number.decimals),
    )
