"""Results as Python shows them: a table as text, a line, HTML in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from mmbench.experiments.compare import Comparison
from mmbench.experiments.profiling import Profile
from mmbench.experiments.result import RunResult
from mmbench.reports.comparison import comparison_facts, comparison_rows, comparison_text
from mmbench.reports.escape import one_line
from mmbench.reports.profile import (
    BATCH_HEAD,
    PART_HEAD,
    batch_rows,
    part_rows,
    profile_facts,
    profile_text,
    profile_title,
)
from mmbench.reports.run import record_text, run_facts, run_rows, run_title


def text_of(result: Any) -> str:
    """The table that the command prints."""
    match result:
        case Comparison():
            return comparison_text(result)
        case Profile():
            return profile_text(result)
        case RunResult():
            return record_text(result.record, result.path)
    raise TypeError(f"no text is known of a {type(result).__name__}")


def line_of(result: Any) -> str:
    """What it is, short."""
    match result:
        case Comparison():
            record = next(iter(result.runs.values()))[0].record
            best = result.estimates[0]
            words = (
                f"Comparison of {len(result.runs)} models on {record.task}/{record.dataset}: "
                f"best {best.model}, {result.metric.name} {best.mean * result.metric.scale:.2f}"
            )
        case Profile():
            total = result.total
            words = (
                f"Profile of {result.model} on {result.task}/{result.dataset}: "
                f"{total.trained + total.frozen:,} parameters, "
                f"{result.flops_per_sample:,} operations a sample"
            )
        case RunResult():
            record = result.record
            words = (
                f"RunResult of {record.model} on {record.task}/{record.dataset}, seed "
                f"{record.seed}: {record.primary.name} "
                f"{record.primary.value * record.primary.scale:.2f}"
            )
        case _:
            raise TypeError(f"no line is known of a {type(result).__name__}")
    return f"<{one_line(words)}>"


def html_of(result: Any) -> str:
    """Its table as HTML; whatever is in a name is shown and does nothing."""
    match result:
        case Comparison():
            title, head, rows = comparison_rows(result)
            return _section(title, [_table(head, rows)], comparison_facts(result))
        case Profile():
            tables = [_table(PART_HEAD, part_rows(result)), _table(BATCH_HEAD, batch_rows(result))]
            return _section(profile_title(result), tables, profile_facts(result))
        case RunResult():
            rows = [[row.strip() for row in cells] for cells in run_rows(result.record)]
            table = _table(["", "value", "95% interval", "samples", ""], rows)
            facts = list(run_facts(result.record, result.path).items())
            return _section(run_title(result.record), [table], facts)
    raise TypeError(f"no HTML is known of a {type(result).__name__}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table, without columns that are empty."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [_row("th", [head[i] for i in kept])]
    lines += [_row("td", [row[i] for i in kept]) for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _row(kind: str, cells: Sequence[str]) -> str:
    sides = ["left", *("right" for _ in cells[1:])]
    made = (
        f'<{kind} style="text-align: {side}">{escape(one_line(cell))}</{kind}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"


def _section(title: str, tables: Sequence[str], facts: Sequence[tuple[str, str]]) -> str:
    lines = [f"<p><b>{escape(one_line(title))}</b></p>", *tables]
    if facts:
        rows = [[one_line(name), one_line(words)] for name, words in facts]
        made = "\n".join(
            f'<tr><th style="text-align: left">{escape(name)}</th>'
            f'<td style="text-align: left">{escape(words)}</td></tr>'
            for name, words in rows
        )
        lines.append(f"<details><summary>more</summary><table>\n{made}\n</table></details>")
    return "<div>\n" + "\n".join(lines) + "\n</div>"
