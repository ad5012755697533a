"""Results as Python shows them: a table as text, a line, HTML in a notebook."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Any

from mmbench.experiments.compare import Comparison
from mmbench.experiments.profiling import Profile
from mmbench.experiments.result import RunResult
from mmbench.experiments.robustness import RobustnessComparison
from mmbench.experiments.study import StudyResult
from mmbench.reports.comparison import comparison_facts, comparison_rows, comparison_text
from mmbench.reports.document import Picture
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
from mmbench.reports.report import Report
from mmbench.reports.robustness import robustness_sheets, robustness_text
from mmbench.reports.run import record_text, run_facts, run_rows, run_title
from mmbench.reports.sheet import Sheet, shown_text
from mmbench.reports.study import study_facts, study_result_text


def text_of(result: Any) -> str:
    """The table that the command prints."""
    match result:
        case Comparison():
            return comparison_text(result)
        case Profile():
            return profile_text(result)
        case RunResult():
            return record_text(result.record, result.path)
        case RobustnessComparison():
            return robustness_text(result)
        case StudyResult():
            return study_result_text(result)
        case Report():
            return result.text
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
        case RobustnessComparison():
            record = result.record
            words = (
                f"RobustnessComparison of {len(result.models)} models on "
                f"{record.task}/{record.dataset}: {len(result.damages)} kinds of damage"
            )
        case StudyResult():
            datasets = list(dict.fromkeys(dataset for dataset, _ in result.family.columns))
            words = f"StudyResult of {result.runs} runs on {', '.join(datasets)}"
        case Report():
            words = f"Report of {len(result.sheets)} tables"
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
        case RobustnessComparison():
            return "\n".join(map(_sheet, robustness_sheets(result)))
        case StudyResult():
            shown = [html_of(each) for each in (*result.tables, *result.robustness.values())]
            facts = study_facts(result)
            return "\n".join([*shown, *([_section("over all tables", [], facts)] if facts else [])])
        case Report(html=True):
            return _page(result.text)
        case Report():
            return "\n".join([*map(_sheet, result.sheets), *map(_picture, result.pictures)])
    raise TypeError(f"no HTML is known of a {type(result).__name__}")


def _sheet(sheet: Sheet) -> str:
    """A table of a report, with its caption and remarks below it."""
    heads = [" ".join(filter(None, (*head.groups, head.label))) for head in sheet.heads]
    rows = [
        [line.title, *(shown_text(shown, sheet.spread) for shown in line.shown)]
        for line in sheet.lines
    ]
    words = "".join(
        f"<p>{escape(one_line(text))}</p>\n" for text in (sheet.caption, *sheet.remarks)
    )
    return _section(sheet.title, [_table([sheet.first, *heads], rows), words], [])


def _picture(picture: Picture) -> str:
    content = b64encode(picture.png.read_bytes()).decode()
    words = escape(one_line(picture.caption))
    return (
        f'<p><img src="data:image/png;base64,{content}" alt="{words}" style="width: 32em; '
        f'max-width: 100%"></p>\n<p>{words}</p>'
    )


def _page(text: str) -> str:
    """A whole page, kept apart from the notebook's own."""
    style = "width: 100%; height: 40em"
    return f'<iframe srcdoc="{escape(text)}" sandbox="allow-scripts" style="{style}"></iframe>'


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
