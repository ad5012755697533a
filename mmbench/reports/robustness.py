"""Robustness as a terminal and a notebook show it."""

from __future__ import annotations

from mmbench import registry
from mmbench.experiments.robustness import RobustnessComparison
from mmbench.reports.escape import one_line
from mmbench.reports.layouts.options import Options
from mmbench.reports.layouts.robustness import RobustnessSheets
from mmbench.reports.names import in_sentence
from mmbench.reports.sheet import Head, Sheet, shown_text


def damage_title(corruption: str, modality: str) -> str:
    """What a kind of damage is called: `missing text`, `image noise`."""
    words = corruption.replace("_", " ")
    known = registry.has("corruptions", corruption)
    several = not known or len(registry.load("corruptions", corruption).modalities) > 1
    return f"{words} {modality}" if several and modality not in words else words


def robustness_sheets(found: RobustnessComparison) -> list[Sheet]:
    """For a terminal or notebook: areas without their intervals, since there are many."""
    *brief, _ = RobustnessSheets(found, Options(style="paper", spread="none")).sheets()
    *_, inputs = RobustnessSheets(found, Options(style="paper", spread="interval")).sheets()
    return [*brief, inputs]


def robustness_text(found: RobustnessComparison) -> str:
    """For the terminal."""
    text = []
    for sheet in robustness_sheets(found):
        text.append(one_line(sheet.title))
        lines = [["", *(one_line(_head(head)) for head in sheet.heads)]]
        lines += [
            [one_line(line.label), *(shown_text(shown, sheet.spread) for shown in line.shown)]
            for line in sheet.lines
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for first, *cells in lines:
            shown = [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
            text.append("  ".join(["", first.ljust(widths[0]), *shown]).rstrip())
        text += [f"  {one_line(words)}" for words in (sheet.caption, *sheet.remarks)]
    return "\n".join(text)


def _head(head: Head) -> str:
    return " ".join(in_sentence(words) for words in (*head.groups, head.title))
