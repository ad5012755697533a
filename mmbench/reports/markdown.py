"""A report as Markdown that reads well on GitHub and in a terminal: no HTML."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.reports.document import Document
from mmbench.reports.escape import for_markdown, for_markdown_code
from mmbench.reports.sheet import Head, Line, Number, Sheet, Shown

LEVEL = "in italics"  # how `_cell` sets what is not told from the best


def markdown(document: Document) -> str:
    """Tables under their titles; then methods, and one list of how numbers are computed."""
    parts = [_sheet(sheet) for sheet in document.sheets]
    parts += [
        [f"![{for_markdown(p.caption)}](<{p.png.as_posix()}>)", "", for_markdown(p.caption)]
        for p in document.pictures
    ]
    if document.methods:
        paragraphs = [line for text in document.methods for line in (for_markdown(text), "")]
        parts.append(["## Methods", "", *paragraphs[:-1]])
    if document.checklist:
        rows = [[a.title, a.answer, a.found] for a in document.checklist]
        parts.append(
            ["## Reliability checklist", "", *_plain_table(["Point", "", "From the records"], rows)]
        )
    parts.append(_computed(document))
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _sheet(sheet: Sheet) -> list[str]:
    head = [for_markdown(sheet.first), *(for_markdown(_label(head)) for head in sheet.heads)]
    return [
        f"## {for_markdown(sheet.title)}",
        "",
        _pipes(head),
        _pipes(["---", *("---:" for _ in head[1:])]),
        *(_line(sheet, line) for line in sheet.lines),
        "",
        for_markdown(sheet.caption),
        *(
            ["", *(f"- {for_markdown(remark)}" for remark in sheet.remarks)]
            if sheet.remarks
            else ()
        ),
    ]


def _label(head: Head) -> str:
    return " ".join([*(group for group in head.groups if group), head.label])


def _line(sheet: Sheet, line: Line) -> str:
    return _pipes([for_markdown(line.title), *(_cell(sheet, shown) for shown in line.shown)])


def _cell(sheet: Sheet, shown: Shown) -> str:
    if not isinstance(shown, Number):
        return for_markdown(shown or "-")
    value = f"**{shown.shown}**" if shown.best else shown.shown
    if shown.mark.level and not shown.best:
        value = f"*{value}*"
    return " ".join(filter(None, [value, shown.spread(sheet.spread), shown.mark.letters]))


def _computed(document: Document) -> list[str]:
    lines = ["## How the numbers are computed", ""]
    for found in document.signatures:
        scale = f", times {found.scale:g}" if found.scale != 1 else ""
        lines.append(f"- {for_markdown(found.whole_title)}: {for_markdown_code(found.text)}{scale}")
    for data in document.data:
        fingerprint = for_markdown_code(data.fingerprint)
        lines.append(f"- {for_markdown(f'{data.title}: {data.size}')}, data {fingerprint}")
    return [*lines, *(f"- {for_markdown(words)}" for words in document.conditions)]


def _plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        _pipes(list(head)),
        _pipes(["---" for _ in head]),
        *(_pipes([for_markdown(cell) for cell in row]) for row in rows),
    ]


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
