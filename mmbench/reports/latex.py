"""A report as LaTeX that goes into a paper as it is: `\\input{report}`."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from mmbench.reports.document import Document, Signature
from mmbench.reports.escape import for_latex
from mmbench.reports.latex_table import LEVEL, latex_tables
from mmbench.reports.latex_width import TEXT_WIDTH, breakable, width

__all__ = ["LEVEL", "latex"]

_LAST_OF_LATIN_1 = 0xFF  # pdfLaTeX knows these without more packages
_LINES = 48  # of a table of texts, a page
_SIZE = r"\footnotesize"


def latex(document: Document) -> str:
    """Tables, figures, methods, and one table of how numbers are computed, for the appendix."""
    paper = document.style == "paper"
    parts = [latex_tables(sheet, remarks_below=not paper) for sheet in document.sheets]
    parts += [_figure(p.pdf.as_posix(), p.caption, p.name) for p in document.pictures]
    if document.methods:
        paragraphs = [breakable(for_latex(text)) for text in document.methods]
        paragraphs[0] = rf"\paragraph{{Evaluation.}} {paragraphs[0]}"
        parts.append("\n\n".join(paragraphs) + "\n")
    if document.checklist:
        rows = [[a.title, a.answer, a.found] for a in document.checklist]
        caption = "Reliability checklist, filled in from the records of the runs."
        parts += _plain(
            caption, "tab:checklist", ["Point", "", "From the records"], rows, (27, 12, 52)
        )
    parts += _computed(document)
    text = "\n".join(parts)
    packages = ["booktabs", "siunitx"]
    packages += ["rotating"] if "sidewaystable" in text else []
    packages += ["graphicx"] if document.pictures else []
    head = [f"% needs \\usepackage{{{','.join(packages)}}}"]
    if any(ord(character) > _LAST_OF_LATIN_1 for character in text):
        head.append(
            "% has letters beyond Latin-1: for LuaLaTeX or XeLaTeX, with a font that has them"
        )
    return "\n".join([*head, text])


def _figure(file: str, caption: str, name: str) -> str:
    lines = [
        r"\begin{figure}[tp]",
        r"\centering",
        rf"\includegraphics{{{file}}}",
        rf"\caption{{{for_latex(caption)}}}",
        rf"\label{{fig:{name}}}",
        r"\end{figure}",
    ]
    return "\n".join(lines) + "\n"


def _computed(document: Document) -> list[str]:
    """The one table of signatures and data."""
    rows = [[", ".join(titles), text] for titles, text in _families(document.signatures)]
    rows += [[d.title, f"{d.size}, data {d.fingerprint}"] for d in document.data]
    rows += [["Conditions", words] for words in document.conditions]
    caption = "How the numbers are computed: each metric's signature, and the data."
    return _plain(caption, "tab:signatures", ["", "Signature, or data"], rows, (26, 70))


def _families(signatures: Sequence[Signature]) -> list[tuple[list[str], str]]:
    """Neighbours under one heading that differ in the name alone: their titles, and all as one."""
    found: list[tuple[tuple[str, str], list[str], list[str]]] = []
    for signature in signatures:
        name, bar, rest = signature.text.partition("|")
        rest = bar + rest + (f", times {signature.scale:g}" if signature.scale != 1 else "")
        key = signature.heading, rest
        if found and found[-1][0] == key and signature.heading:
            found[-1][1].append(signature.title)
            found[-1][2].append(name)
        else:
            found.append((key, [signature.whole_title], [name]))
    return [(titles, ", ".join(names) + rest) for (_, rest), titles, names in found]


def _plain(
    caption: str,
    label: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
) -> list[str]:
    """A table of texts, a page each so many rows; widths in hundredths of the page's."""
    columns = " ".join(
        rf">{{\raggedright\arraybackslash}}p{{{percent / 100:.2f}\textwidth}}" for percent in widths
    )
    parts = []
    for start, stop in _pages(rows, widths):
        more = rf"Continuation of Table~\ref{{{label}}}."
        lines = [
            r"\begin{table*}[tp]",
            r"\centering",
            r"\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}",
            rf"\caption{{{more if start else for_latex(caption)}}}",
            rf"\label{{{label}{f'-{start}' if start else ''}}}",
            rf"{_SIZE}\setlength{{\tabcolsep}}{{4pt}}",
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            " & ".join(for_latex(text) for text in head) + r" \\",
            r"\midrule",
        ]
        for row in rows[start:stop]:
            lines.append(" & ".join(breakable(for_latex(cell)) for cell in row) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
        parts.append("\n".join(lines) + "\n")
    return parts


def _pages(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[tuple[int, int]]:
    """Where each page's rows begin and end."""
    pages, start, filled = [], 0, 0
    for at, row in enumerate(rows):
        room = [percent / 100 * TEXT_WIDTH for percent in widths]
        needed = max(ceil(width(text, _SIZE) / w) for text, w in zip(row, room, strict=True)) or 1
        if filled + needed > _LINES and at > start:
            pages.append((start, at))
            start, filled = at, 0
        filled += needed
    return [*pages, (start, len(rows))]
