"""Tables as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Sequence

from mmbench.reports.counts import count
from mmbench.reports.escape import for_csv, for_latex, for_markdown, for_markdown_code
from mmbench.reports.table import Cell, Column, Row, Table

_LAST_OF_LATIN_1 = 0xFF  # pdfLaTeX knows these without more packages
_SPREAD = (
    "Mean and standard deviation over seeds; for one seed, the value and its 95% bootstrap interval"
    " over groups of samples."
)


def markdown(tables: Sequence[Table]) -> str:
    """Markdown tables under their titles, with the signatures as notes below."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    marks = _marks(table)
    head = [
        "model",
        "parameters",
        "seeds",
        *(f"{for_markdown(c.label)} [{marks[c]}]" for c in table.columns),
    ]
    lines = [
        f"## {for_markdown(table.title)}",
        "",
        _pipes(head),
        _pipes(["---", *("---:" for _ in head[1:])]),
    ]
    for row in table.rows:
        cells = [_cell(row.cells.get(column)) for column in table.columns]
        lines.append(_pipes([for_markdown(row.label), _parameters(row), _seeds(row), *cells]))
    lines += ["", *(f"- [{marks[c]}] {for_markdown_code(table.notes[c])}" for c in table.columns)]
    return (
        "\n".join([*lines, f"- {_SPREAD}", *(f"- {for_markdown(r)}" for r in table.remarks)]) + "\n"
    )


def latex(tables: Sequence[Table]) -> str:
    """LaTeX tables; they need the package booktabs."""
    text = "\n".join(_latex(table) for table in tables)
    head = ["% needs \\usepackage{booktabs}"]
    if any(ord(character) > _LAST_OF_LATIN_1 for character in text):
        head.append(
            "% has letters beyond Latin-1: for LuaLaTeX or XeLaTeX, with a font that has them"
        )
    return "\n".join([*head, text])


def _latex(table: Table) -> str:
    marks = _marks(table)
    heads = [rf"{for_latex(c.label)}\textsuperscript{{{marks[c]}}}" for c in table.columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{for_latex(table.title)}}}",
        rf"\begin{{tabular}}{{lrr{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Model", "Parameters", "Seeds", *heads]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [for_latex(_cell(row.cells.get(column))) for column in table.columns]
        values = [for_latex(row.label), for_latex(_parameters(row)), _seeds(row), *cells]
        lines.append(" & ".join(values) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\vspace{2pt}", r"\footnotesize\raggedright"]
    lines += [
        rf"\textsuperscript{{{marks[c]}}} {for_latex(table.notes[c])}\\" for c in table.columns
    ]
    lines += [rf"{for_latex(remark)}\\" for remark in table.remarks]
    return "\n".join([*lines, for_latex(_SPREAD), r"\end{table}"]) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """A line a model and column: values unscaled, with all that makes them comparable."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = "model task dataset split fingerprint limit metric signature mean sd low high seeds"
    writer.writerow([*head.split(), "parameters"])
    for row, c in ((row, c) for table in tables for row in table.rows for c in table.columns):
        if c not in row.cells:
            continue
        cell = row.cells[c]
        interval = cell.interval
        ends = [interval.low, interval.high] if interval else ["", ""]
        where = [row.label, c.task, c.dataset, c.split, c.fingerprint, c.limit or "", c.metric]
        values = [c.signature, cell.mean, cell.sd, *ends, len(cell.values), row.parameters[c]]
        writer.writerow(["" if v is None else for_csv(v) for v in [*where, *values]])
    return text.getvalue()


FORMATS = {"markdown": markdown, "latex": latex, "csv": as_csv}


def _marks(table: Table) -> dict[Column, str]:
    letters = string.ascii_lowercase
    return {c: letters[i % 26] * (1 + i // 26) for i, c in enumerate(table.columns)}


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    mean = f"{cell.mean * cell.scale:.2f}"
    if cell.sd is not None:
        return f"{mean} ± {cell.sd * cell.scale:.2f}"
    if cell.interval is None:
        return mean
    low, high = cell.interval.low * cell.scale, cell.interval.high * cell.scale
    return f"{mean} [{low:.2f}, {high:.2f}]"


def _parameters(row: Row) -> str:
    low, high = min(row.parameters.values()), max(row.parameters.values())
    if high == 0:
        return "-"
    return count(low) if count(low) == count(high) else f"{count(low)}-{count(high)}"


def _seeds(row: Row) -> str:
    sizes = {len(cell.values) for cell in row.cells.values()}
    return str(sizes.pop()) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"
