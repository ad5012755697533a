"""What a layout is told, and what all of them do alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.recipe import digest
from mmbench.reports.beside import Beside
from mmbench.reports.captions import listed
from mmbench.reports.cells import Column
from mmbench.reports.counts import count
from mmbench.reports.names import dataset_title, metric_title, told_apart
from mmbench.reports.sheet import Head, Number, Shown, best_of, decimals_for, number_of
from mmbench.reports.significance import Marks, Measurement, marks_of
from mmbench.reports.table import Row, Table

UNEQUAL = "*"  # behind the name of a model whose training is another


@dataclass(frozen=True)
class Options:
    """How a report is to be.

    Attributes:
        style: "paper": few metrics, few decimals; "draft": everything, with notes.
        spread: what stands beside a value.
        level: how what is not told from the best is set: "underlined"; "" if it is not marked.
        baseline: the model that all others are compared with; all pairs if None.
        marks: by column, its mark in the list of signatures, if it needs one.
        beside: what lies beside the records of damaged inputs; None where nobody looked.
    """

    style: str = "draft"
    spread: str = "sd"
    level: str = ""
    baseline: str | None = None
    marks: Mapping[Column, str] = field(default_factory=dict)
    beside: Beside | None = None

    @property
    def paper(self) -> bool:
        """Whether it is for a paper."""
        return self.style == "paper"

    @property
    def least_decimals(self) -> int:
        """Of values."""
        return 1 if self.paper else 2


def sheet_name(layout: str, *parts: str) -> str:
    """A name for labels and files, of letters, digits, `_` and `-` alone; as unique as its parts.

    >>> sheet_name("main", "vqa", "easy_vqa"), sheet_name("main", "50%")
    ('main-vqa-easy_vqa', 'main-50-f823f52d')
    """
    return "-".join([layout, *map(_plain, parts)])


def _plain(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40]
    return plain if plain == name else f"{plain}-{digest(name)[:8]}".strip("-")


def titles(rows: Iterable[Row]) -> dict[str, str]:
    """By label, what a reader calls each row: no two alike."""
    found = list(rows)
    by_model = told_apart({row.model for row in found}, lambda m: Row(m, {}, "", m).title)
    return {
        row.label: by_model[row.model]
        + row.label.removeprefix(row.model)
        + (UNEQUAL if row.unequal else "")
        for row in found
    }


def baseline_row(rows: Sequence[Row], baseline: str | None) -> str | None:
    """The label of the row that is the baseline; None if no row is it, or none is asked for."""
    for row in rows:
        if baseline is not None and baseline in (row.label, row.model) and not row.changes:
            return row.label
    return next((row.label for row in rows if row.label == baseline), None)


def check_baseline(tables: Sequence[Table], baseline: str | None) -> None:
    """Raise MMBenchError if no table has the baseline."""
    if baseline is None:
        return
    known = sorted({row.model for table in tables for row in table.rows})
    if not any(baseline_row(table.rows, baseline) for table in tables):
        raise MMBenchError(
            f"no record is of the baseline '{baseline}'.{did_you_mean(baseline, known)} There are "
            f"{', '.join(known)}."
        )


def column_heads(tables: Sequence[Table], options: Options) -> dict[Column, Head]:
    """What stands above each column: its dataset where there are several, and what differs."""
    columns = [(table, c) for table in tables for c in table.columns]
    several = len({c.dataset for _, c in columns}) > 1
    heads = {}
    for table, column in columns:
        title, heading = metric_title(column.metric)
        entry = table.entries[column]
        where = (column.dataset, column.metric)
        twins = [c for _, c in columns if (c.dataset, c.metric) == where]
        differ = _differs(column, twins)
        mark = options.marks.get(column)
        groups = (dataset_title(column.dataset),) if several else ()
        heads[column] = Head(
            title + (f" ({differ})" if differ else "") + (f" [{mark}]" if mark else ""),
            (*groups, heading) if any(metric_title(c.metric)[1] for _, c in columns) else groups,
            facts_of(column) | {"scale": entry.scale, "higher_is_better": entry.higher_is_better},
            lower_is_better=not entry.higher_is_better,
        )
    return heads


def facts_of(column: Column) -> dict[str, Any]:
    """What the numbers of a column are."""
    names = ("task", "dataset", "split", "fingerprint", "limit", "metric", "signature", "kind")
    return {name: getattr(column, name) for name in names}


def _differs(column: Column, twins: Sequence[Column]) -> str:
    """What tells a column from others of its metric and dataset."""
    words = []
    for name in ("split", "limit", "fingerprint", "signature", "kind"):
        if len({getattr(c, name) for c in twins}) > 1:
            value = getattr(column, name)
            words.append(
                {
                    "split": f"{value}",
                    "limit": "all" if value is None else f"first {value}",
                    "fingerprint": f"data {value}",
                    "signature": f"{value}",
                    "kind": f"{value}",
                }[name]
            )
    return ", ".join(word for word in words if word)


def marks_for(tables: Sequence[Table], baseline: str | None) -> Marks:
    """Of all numbers of tables that stand in one, as one family."""
    return marks_of(
        [
            Measurement(row.label, row.measured[c], row.samples[c])
            for table in tables
            for c in table.columns
            for row in table.rows
            if c in row.measured
        ],
        baseline,
    )


def column_numbers(
    table: Table, column: Column, marks: Marks, options: Options
) -> dict[str, Number]:
    """The numbers of a column by the rows' labels."""
    cells = table.values(column)
    decimals = decimals_for(cells.values(), options.least_decimals)
    best = best_of(cells, table.entries[column].higher_is_better)
    return {
        label: number_of(cell, marks.of(repr(column), label), label in best, decimals)
        for label, cell in cells.items()
    }


def parameters_of(rows: Sequence[Row]) -> str:
    """Of a model, over all that it was run on."""
    counts = [n for row in rows for n in row.parameters.values()]
    low, high = min(counts), max(counts)
    if high == 0:
        return "-"
    return count(low) if count(low) == count(high) else f"{count(low)}-{count(high)}"


def seeds_of_rows(rows: Sequence[Row]) -> str:
    """How many seeds a model was run with."""
    sizes = sorted({len(cell.values) for row in rows for cell in row.cells.values()})
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"


def shown_or_none(numbers: Mapping[str, Number], label: str) -> Shown:
    """A row's number, if it has one."""
    return numbers.get(label)


def unequal_remarks(rows: Iterable[Row], named: Mapping[str, str]) -> list[str]:
    """Of rows whose training is another, a sentence each."""
    found = {row.label: row for row in rows if row.unequal}
    return [
        f"{named[label]}: not trained as the others are: {row.unequal}."
        for label, row in found.items()
    ]


def dataset_names(tables: Sequence[Table]) -> str:
    """Those of tables that stand in one."""
    return listed(dataset_title(c.dataset) for table in tables for c in table.columns)
