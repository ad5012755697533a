"""Tables as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Sequence

from mmbench.reports.table import Cell, Column, Row, Table

_SPREAD = (
    "Mean and standard deviation over seeds; for one seed, the value and its 95% bootstrap interval"
    " over groups of samples."
)


def markdown(tables: Sequence[Table]) -> str:
    """Markdown tables under their titles, with the signatures as notes below."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    marks = _marks(table)
    head = ["model", "parameters", "seeds", *(f"{c.label} [{marks[c]}]" for c in table.columns)]
    lines = [f"## {table.title}", "", _pipes(head), _pipes(["---", *("---:" for _ in head[1:])])]
    for row in table.rows:
        cells = [_cell(row.cells.get(column), "±") for column in table.columns]
        lines.append(_pipes([row.label, _parameters(row), _seeds(row), *cells]))
    notes = [f"- [{marks[c]}] `{table.notes[c]}`" for c in table.columns]
    return (
        "\n".join([*lines, "", *notes, f"- {_SPREAD}", *(f"- {r}" for r in table.remarks)]) + "\n"
    )


def latex(tables: Sequence[Table]) -> str:
    """LaTeX tables; they need the package booktabs."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    marks = _marks(table)
    heads = [rf"{_tex(c.label)}\textsuperscript{{{marks[c]}}}" for c in table.columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(table.title)}}}",
        rf"\begin{{tabular}}{{lrr{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Model", "Parameters", "Seeds", *heads]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_tex(_cell(row.cells.get(column), "±")) for column in table.columns]
        values = [_tex(row.label), _tex(_parameters(row)), _seeds(row), *cells]
        lines.append(" & ".join(values) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\vspace{2pt}", r"\footnotesize\raggedright"]
    lines += [rf"\textsuperscript{{{marks[c]}}} {_tex(table.notes[c])}\\" for c in table.columns]
    lines += [rf"{_tex(remark)}\\" for remark in table.remarks]
    return "\n".join([*lines, _tex(_SPREAD), r"\end{table}"]) + "\n"


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
        interval = next(iter(cell.entries.values())).interval if cell.sd is None else None
        ends = [interval.low, interval.high] if interval else ["", ""]
        sd = "" if cell.sd is None else cell.sd
        where = [c.task, c.dataset, c.split, c.fingerprint, c.limit or "", c.metric]
        values = [c.signature, cell.mean, sd, *ends, len(cell.entries), row.parameters[c]]
        writer.writerow([row.label, *where, *values])
    return text.getvalue()


FORMATS = {"markdown": markdown, "latex": latex, "csv": as_csv}


def count(number: float) -> str:
    """A count in three digits: 461229 as 461k.

    >>> count(461229), count(1_250_000), count(87)
    ('461k', '1.25M', '87')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def _marks(table: Table) -> dict[Column, str]:
    letters = string.ascii_lowercase
    return {c: letters[i % 26] * (1 + i // 26) for i, c in enumerate(table.columns)}


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell | None, plus_minus: str) -> str:
    if cell is None:
        return "-"
    first = next(iter(cell.entries.values()))
    if cell.sd is not None:
        return f"{cell.mean * first.scale:.2f} {plus_minus} {cell.sd * first.scale:.2f}"
    if first.interval is None:
        return f"{first.value * first.scale:.2f}"
    low, high = first.interval.low * first.scale, first.interval.high * first.scale
    return f"{first.value * first.scale:.2f} [{low:.2f}, {high:.2f}]"


def _parameters(row: Row) -> str:
    low, high = min(row.parameters.values()), max(row.parameters.values())
    if high == 0:
        return "-"
    return count(low) if count(low) == count(high) else f"{count(low)}-{count(high)}"


def _seeds(row: Row) -> str:
    sizes = {len(cell.entries) for cell in row.cells.values()}
    return str(sizes.pop()) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"


_TEX = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}\allowbreak{}",
    "±": r"$\pm$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
