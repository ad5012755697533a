"""`cost`: what each model takes, beside its primary score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.records.record import Record
from mmbench.reports.captions import (
    data_words,
    listed,
    measured_words,
    statistics_words,
    value_words,
)
from mmbench.reports.counts import count
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
from mmbench.reports.table import Row, Table

FROZEN = " (frozen)"  # behind the name of a part of a record's parameters


@dataclass(frozen=True)
class Cost:
    """Something that a model takes.

    Attributes:
        name: in CSV and JSON, with its unit.
        title, group: above its column.
        of: a record's, or None where it does not say.
        text: as it is shown.
    """

    name: str
    title: str
    group: str
    of: Callable[[Record], float | None]
    text: Callable[[float], str]


def parameters(record: Record, frozen: bool) -> int | None:
    """How many are trained, or frozen; None of a predictor without any."""
    if not record.parameters:
        return None
    return sum(n for part, n in record.parameters.items() if part.endswith(FROZEN) == frozen)


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


COSTS = (
    Cost("trained_parameters", "Trained", "Parameters", lambda r: parameters(r, False), count),
    Cost("frozen_parameters", "Frozen", "Parameters", lambda r: parameters(r, True), count),
    Cost("operations", "Operations", "", lambda r: r.flops_per_sample, count),
    Cost(
        *("training_seconds", "Train (s)", ""),
        lambda r: r.training.seconds if r.training else None,
        lambda s: f"{s:,.0f}",
    ),
    Cost(
        *("latency_p50_ms", "p50", "Latency (ms)"),
        lambda r: _thousand(r.inference.latency_p50) if r.inference else None,
        _digits,
    ),
    Cost(
        *("latency_p95_ms", "p95", "Latency (ms)"),
        lambda r: _thousand(r.inference.latency_p95) if r.inference else None,
        _digits,
    ),
    Cost(
        *("samples_per_second", "Samples/s", ""),
        lambda r: r.inference.samples_per_second if r.inference and r.parameters else None,
        lambda s: f"{s:,.0f}",
    ),
    Cost("peak_memory_mb", "CPU", "Memory (MB)", lambda r: r.peak_memory_mb, lambda m: f"{m:,.0f}"),
    Cost(
        *("peak_gpu_memory_mb", "GPU", "Memory (MB)"),
        lambda r: r.peak_gpu_memory_mb,
        lambda m: f"{m:,.0f}",
    ),
)


def cost(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """A table for each task and dataset: parameters, operations, times and memory, mean over runs.

    What no record says has no column.
    """
    return [_sheet(table, options) for table in tables]


def cost_of(row: Row, kind: Cost) -> float | None:
    """A model's, mean over its runs; None where none of them says."""
    values = [kind.of(run.record) for run in row.results()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sheet(table: Table, options: Options) -> Sheet:
    primary = table.columns[0]
    part = Table([primary], table.entries, table.rows, {}, [])
    rows = [row for row in table.rows if primary in row.cells]
    baseline = baseline_row(rows, options.baseline)
    marks = marks_for([part], baseline)
    head = column_heads([part], options)[primary]
    numbers = column_numbers(part, primary, marks, options)
    costs = {kind: {row.label: cost_of(row, kind) for row in rows} for kind in COSTS}
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


def _thousand(value: float | None) -> float | None:
    return None if value is None else value * 1000
