"""A comparison as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.escape import one_line
from mmbench.reports.formats import count

if TYPE_CHECKING:
    from mmbench.experiments.compare import Comparison, Row


def comparison_text(comparison: Comparison) -> str:
    """A line a model, best first, and what was equal and how the intervals were made."""
    metric = comparison.metric
    first = next(iter(comparison.runs.values()))
    record = first[0].record
    head = [
        "model",
        one_line(metric.name),
        "sd",
        "95% interval",
        "difference",
        "parameters",
        "training",
    ]
    lines = [head, *(_cells(row, metric.scale) for row in comparison.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        f"{one_line(record.task)}/{one_line(record.dataset)}, {one_line(record.split)} split, "
        f"{record.samples:,} samples, "
        f"{len(first)} {'seeds' if len(first) > 1 else 'seed'}"
    ]
    for line in lines:
        first_cell = line[0].ljust(widths[0])
        rest = "  ".join(
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        )
        text.append(f"  {first_cell}  {rest}")
    interval = comparison.rows[0].interval
    text += [
        f"  conditions  {one_line(comparison.conditions)}",
        f"  signature   {one_line(metric.signature)}",
        f"  intervals   {interval.method}, {interval.replicates:,} replicates, "
        f"{interval.groups:,} groups; differences are to the best, paired",
    ]
    return "\n".join(text)


def _cells(row: Row, scale: float) -> list[str]:
    difference = "best"
    if row.difference is not None and row.difference_interval is not None:
        low, high = row.difference_interval.low, row.difference_interval.high
        difference = f"{row.difference * scale:+.2f} [{low * scale:+.2f}, {high * scale:+.2f}]"
    return [
        one_line(row.model),
        f"{row.mean * scale:.2f}",
        "-" if row.sd is None else f"{row.sd * scale:.2f}",
        f"[{row.interval.low * scale:.2f}, {row.interval.high * scale:.2f}]",
        difference,
        count(row.parameters) if row.parameters else "-",
        "-" if row.training_seconds is None else f"{row.training_seconds:.0f} s",
    ]
