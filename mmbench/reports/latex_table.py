"""A sheet as LaTeX tables that fit the page: smaller, then turned, then split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.reports.escape import for_latex
from mmbench.reports.latex_width import TEXT_HEIGHT, TEXT_WIDTH, breakable, width
from mmbench.reports.sheet import Head, Line, Number, Sheet

LEVEL = "underlined"  # how `_value` sets what is not told from the best
_GAP = 4.0  # points on either side of a column
_BETWEEN = 2.0  # points between a value and what stands beside it
_TITLE_SHARE = 0.34  # of the page that the lines' titles may take before they are wrapped
_LINES = {False: 38, True: 22}  # a page, upright and turned
_HEAD_LINES = 3  # that a panel takes besides its lines
_STEP = 10.0  # points, in which the least width of panels is sought
_COLUMN = 235.0  # points, of one of two columns: what is no wider stands in one


@dataclass(frozen=True)
class _Place:
    """A column of the sheet as it is set.

    Attributes:
        head: above it.
        at: its place in the lines.
        beside: whether something stands beside values: that takes a column of its own.
        numbers: its values.
        size: in which it is set.
    """

    head: Head
    at: int
    beside: bool
    numbers: Sequence[Number]
    texts: Sequence[str]
    spreads: Sequence[str]

    @property
    def spec(self) -> str:
        """Of tabular: numbers by siunitx, aligned at the point."""
        if not self.numbers:
            return "r"
        whole = max(len(n.shown.partition(".")[0].lstrip("+-")) for n in self.numbers)
        sign = next((s for s in "+-" if any(n.shown.startswith(s) for n in self.numbers)), "")
        options = f"table-format={sign}{whole}.{max(n.decimals for n in self.numbers)}"
        options += ",detect-weight,mode=text" + (",retain-explicit-plus" if sign else "")
        return f"S[{options}]" + (rf"@{{\hspace{{{_BETWEEN:g}pt}}}}l" if self.beside else "")

    @property
    def span(self) -> int:
        """How many columns of tabular it takes."""
        return 2 if self.beside else 1

    def width(self, size: str) -> float:
        """In points, with the gaps beside it."""
        values = [width(n.shown.replace("-", "+"), size, n.best) for n in self.numbers]
        values += [width(text, size) for text in self.texts]
        beside = max([width(text, r"\scriptsize") for text in self.spreads], default=0.0)
        content = max(values, default=0.0) + (beside + _BETWEEN if self.beside else 0.0)
        return max(content, width(self.head.label, size)) + 2 * _GAP


@dataclass(frozen=True)
class _Setting:
    """How a table is set.

    Attributes:
        size: of its letters.
        turned: by 90 degrees, on a page of its own.
        lines_each: how many lines go on a page.
    """

    size: str
    turned: bool

    @property
    def room(self) -> float:
        return TEXT_HEIGHT if self.turned else TEXT_WIDTH

    @property
    def lines_each(self) -> int:
        return _LINES[self.turned]


_UPRIGHT = (_Setting(r"\small", False), _Setting(r"\footnotesize", False))
_TURNED = _Setting(r"\footnotesize", True)


def latex_tables(sheet: Sheet, remarks_below: bool) -> str:
    """A sheet in one table, or several where a page does not hold it.

    Args:
        sheet: what it shows.
        remarks_below: whether remarks stand below the table; otherwise they end the caption.
    """
    places = [_place(sheet, at, head) for at, head in enumerate(sheet.heads)]
    setting, panels = _fitted(sheet, places)
    each = setting.lines_each
    stacked = len(panels) * (len(sheet.lines) + _HEAD_LINES) <= each + _HEAD_LINES
    pages = [panels] if stacked else [[panel] for panel in panels]
    pieces = [
        (page, sheet.lines[start : start + each])
        for page in pages
        for start in range(0, len(sheet.lines), each)
    ]
    texts = []
    for number, (page, lines) in enumerate(pieces):
        caption = for_latex(sheet.caption) if number == 0 else _continued(sheet)
        remarks = [for_latex(remark) for remark in sheet.remarks] if number == 0 else []
        if remarks and not remarks_below:
            caption, remarks = " ".join([caption, *remarks]), []
        texts.append(_table(sheet, page, lines, setting, caption, remarks, number))
    return "\n".join(texts)


def _place(sheet: Sheet, at: int, head: Head) -> _Place:
    shown = [line.shown[at] for line in sheet.lines]
    numbers = [s for s in shown if isinstance(s, Number)]
    spreads = [n.spread(sheet.spread) + n.mark.letters for n in numbers]
    texts = [s for s in shown if isinstance(s, str)]
    return _Place(head, at, any(spreads), numbers, texts, spreads)


def _fitted(sheet: Sheet, places: Sequence[_Place]) -> tuple[_Setting, list[list[_Place]]]:
    """How it is set, and which columns stand beside each other.

    All, upright, if there is room; panels below each other, if a page has room for them; all,
    turned; tables of a panel each.
    """
    for setting in _UPRIGHT:
        if _width(sheet, places, setting) <= setting.room:
            return setting, [list(places)]
    panels = _panels(sheet, places, _UPRIGHT[-1])
    high = len(panels) * (len(sheet.lines) + _HEAD_LINES)
    fits = _width(sheet, places, _TURNED) <= _TURNED.room
    if high > _UPRIGHT[-1].lines_each and fits and len(sheet.lines) <= _TURNED.lines_each:
        return _TURNED, [list(places)]
    return _UPRIGHT[-1], panels


def _panels(sheet: Sheet, places: Sequence[_Place], setting: _Setting) -> list[list[_Place]]:
    """Columns that stand beside each other, in as few panels as there can be, of like widths."""
    panels = _filled(sheet, places, setting, setting.room)
    room = _width(sheet, places, setting) / len(panels)
    while room < setting.room:
        narrower = _filled(sheet, places, setting, room)
        if len(narrower) == len(panels):
            return narrower
        room += _STEP
    return panels


def _filled(
    sheet: Sheet, places: Sequence[_Place], setting: _Setting, room: float
) -> list[list[_Place]]:
    """Panels filled one after the other; columns under one head stay together if they can."""
    panels: list[list[_Place]] = [[]]
    for group in _groups(places):
        whole = _width(sheet, group, setting) <= setting.room
        for part in [group] if whole else [[place] for place in group]:
            if panels[-1] and _width(sheet, [*panels[-1], *part], setting) > room:
                panels.append([])
            panels[-1] += part
    return panels


def _groups(places: Sequence[_Place]) -> list[list[_Place]]:
    """Neighbours with the same heads above them."""
    groups: list[list[_Place]] = []
    for place in places:
        if groups and any(place.head.groups) and groups[-1][0].head.groups == place.head.groups:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _width(sheet: Sheet, places: Sequence[_Place], setting: _Setting) -> float:
    total = _titles_width(sheet, setting) + sum(place.width(setting.size) for place in places)
    for level in range(max((len(p.head.groups) for p in places), default=0)):
        for text, members in _runs(places, level):  # heads wider than what stands below them
            inner = sum(place.width(setting.size) for place in members)
            total += max(0.0, width(text, setting.size) + 2 * _GAP - inner)
    return total


def _titles_width(sheet: Sheet, setting: _Setting) -> float:
    longest = max(
        width(text, setting.size) for text in [sheet.first, *(ln.title for ln in sheet.lines)]
    )
    return min(longest, _TITLE_SHARE * setting.room) + _GAP


def _runs(places: Sequence[_Place], level: int) -> list[tuple[str, list[_Place]]]:
    """Neighbours that have one head at a level above them, and all heads above that."""
    runs: list[tuple[tuple[str, ...], list[_Place]]] = []
    for place in places:
        above = place.head.groups[: level + 1]
        if runs and runs[-1][0] == above:
            runs[-1][1].append(place)
        else:
            runs.append((above, [place]))
    return [(above[level] if len(above) > level else "", members) for above, members in runs]


def _table(
    sheet: Sheet,
    panels: Sequence[Sequence[_Place]],
    lines: Sequence[Line],
    setting: _Setting,
    caption: str,
    remarks: Sequence[str],
    number: int,
) -> str:
    """One float: its panels below each other."""
    wide = max(_width(sheet, panel, setting) for panel in panels) > _COLUMN
    environment = ("sidewaystable" if setting.turned else "table") + ("*" if wide else "")
    label = f"tab:{sheet.name}" + (f"-{number + 1}" if number else "")
    text = [
        rf"\begin{{{environment}}}" + ("" if setting.turned else "[tp]"),
        r"\centering",
        r"\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"{setting.size}\setlength{{\tabcolsep}}{{{_GAP:g}pt}}",
    ]
    for at, panel in enumerate(panels):
        text += [r"\par\vspace{6pt}"] if at else []
        text += _tabular(sheet, panel, lines, setting)
    if remarks:
        text += ["", r"\vspace{2pt}", r"\footnotesize\raggedright"]
        text += [rf"{breakable(remark)}\par" for remark in remarks]
    return "\n".join([*text, rf"\end{{{environment}}}"]) + "\n"


def _tabular(
    sheet: Sheet, places: Sequence[_Place], lines: Sequence[Line], setting: _Setting
) -> list[str]:
    room = _TITLE_SHARE * setting.room
    wrapped = max(width(line.title, setting.size) for line in sheet.lines) > room
    first = rf">{{\raggedright\arraybackslash}}p{{{room:.0f}pt}}" if wrapped else "l"
    spec = " ".join(place.spec for place in places)
    text = [
        rf"\begin{{tabular}}{{@{{}}{first} {spec}@{{}}}}",
        r"\toprule",
        *_heads(sheet, places),
        r"\midrule",
    ]
    for line in lines:
        if line.rule_above and line is not lines[0]:
            text.append(r"\midrule")
        title = for_latex(line.title)
        cells = [breakable(title) if wrapped else title]
        cells += [cell for place in places for cell in _cells(sheet, line, place)]
        text.append(" & ".join(cells) + r" \\")
    return [*text, r"\bottomrule", r"\end{tabular}"]


def _heads(sheet: Sheet, places: Sequence[_Place]) -> list[str]:
    lines = []
    for level in range(max((len(p.head.groups) for p in places), default=0)):
        cells, rules, at = [""], "", 2
        for text, members in _runs(places, level):
            span = sum(place.span for place in members)
            cells.append(
                rf"\multicolumn{{{span}}}{{c}}{{{for_latex(text)}}}" if text else "&" * (span - 1)
            )
            if text:
                rules += rf"\cmidrule(lr){{{at}-{at + span - 1}}}"
            at += span
        if rules:
            lines += [" & ".join(cells) + r" \\", rules]
    titles = [
        rf"\multicolumn{{{place.span}}}{{{'c' if place.numbers else 'r'}}}"
        rf"{{{for_latex(place.head.label)}}}"
        for place in places
    ]
    return [*lines, " & ".join([for_latex(sheet.first), *titles]) + r" \\"]


def _cells(sheet: Sheet, line: Line, place: _Place) -> list[str]:
    shown = line.shown[place.at]
    if not isinstance(shown, Number):
        text = for_latex(shown or "–")
        cell = rf"\multicolumn{{1}}{{c}}{{{text}}}" if place.numbers else text
        return [cell, ""] if place.beside else [cell]
    if not place.beside:
        return [_value(shown)]
    spread = for_latex(shown.spread(sheet.spread)).replace("+", "$+$").replace("-", "$-$")
    beside = rf"{{\scriptsize {spread}}}" if spread else ""
    if shown.mark.letters:
        beside += rf"\textsuperscript{{{for_latex(shown.mark.letters)}}}"
    return [_value(shown), beside]


def _value(number: Number) -> str:
    if number.best:
        return rf"\bfseries {number.shown}"
    if number.mark.level:
        return rf"{number.shown}{{\llap{{\underline{{\phantom{{{number.shown}}}}}}}}}"
    return number.shown


def _continued(sheet: Sheet) -> str:
    return rf"Continuation of Table~\ref{{tab:{sheet.name}}}."
