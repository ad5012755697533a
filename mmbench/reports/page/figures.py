"""Figures of a page, as inline SVG that takes the page's colours."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmbench.reports.figures.drawing import Dot, draw_costs, draw_intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_INK, _MARK = "#123456", "#234567"  # stand for the page's colours until the SVG is written
_COLOURS = (_MARK, _INK)
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Point:
    """A model in a figure; values as tables show them.

    Attributes:
        value: mean over seeds.
        low, high: the ends of its interval.
        values: of each seed.
        flops, parameters: what an answer costs; None where it is not known.
    """

    model: str
    value: float
    low: float | None
    high: float | None
    values: Sequence[float]
    flops: float | None
    parameters: float | None

    @property
    def dot(self) -> Dot:
        """As figures draw it."""
        return Dot(self.value, self.low, self.high, self.values)


@dataclass(frozen=True)
class Drawn:
    """A figure as a page has it.

    Attributes:
        title: what it shows, in words.
        svg: an `<svg>` element.
    """

    title: str
    svg: str


def comparison_figure(points: Sequence[Point], metric: str) -> Drawn | None:
    """Each model's value with its interval and its seeds, best first; None for a single model."""
    if len(points) < 2:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 0.9 + 0.28 * len(points)), layout="constrained")
        axes = figure.subplots()
        draw_intervals(axes, [_short(p.model) for p in points], [p.dot for p in points], *_COLOURS)
        axes.set_xlabel(metric, parse_math=False)
        return _drawn(figure, f"{metric} of each model, with its interval")


def cost_figure(points: Sequence[Point], metric: str) -> Drawn | None:
    """Each model's value by what an answer costs; None where fewer than two costs are known."""
    by_flops = [(p, p.flops) for p in points if p.flops]
    by_size = [(p, p.parameters) for p in points if p.parameters]
    known = by_flops if len(by_flops) >= len(by_size) else by_size
    if len(known) < 2:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        costs, dots = [cost for _, cost in known], [p.dot for p, _ in known]
        draw_costs(axes, costs, dots, [{"color": _MARK}] * len(known), line=False)
        axes.margins(x=0.25, y=0.12)
        what = "operations per sample" if known is by_flops else "parameters"
        axes.set_xlabel(what)
        axes.set_ylabel(metric, parse_math=False)
        axes.grid(alpha=0.25)
        named = len(known) <= _NAMED
        names = [_short(p.model) if named else str(n) for n, (p, _) in enumerate(known, 1)]
        _name_points(figure, [(cost, p.value) for p, cost in known], names)
        title = f"{metric} by {what}"
        if not named:
            title += ": " + ", ".join(f"{n} {p.model}" for n, (p, _) in enumerate(known, 1))
        return _drawn(figure, title)


def _name_points(
    figure: Figure, points: Sequence[tuple[float, float]], names: Sequence[str]
) -> None:
    """Write a name beside each point, at the first place where it covers no other."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    placed: list[Bbox] = []
    for point, name in zip(points, names, strict=True):
        for right, up in _BESIDE:
            label = axes.annotate(
                name,
                point,
                xytext=(7 if right else -7, up),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=8,
                parse_math=False,
            )
            box = label.get_window_extent()
            within = box.x0 >= axes.get_window_extent().x0  # not on the axis
            if within and not any(box.overlaps(other) for other in placed):
                break
            label.remove()
        else:
            continue  # the table has it
        placed.append(box)


_BESIDE = [(right, up) for up in (0, 9, -9, 18, -18, 27, -27) for right in (True, False)]
_NAMED = 10  # more points are numbered
_LONGEST = 40  # characters of a name


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"


def _drawn(figure: Figure, title: str) -> Drawn:
    """The figure as an `<svg>` element whose ids are its own and whose text is text."""
    import matplotlib as mpl

    file = io.StringIO()
    salt = hashlib.sha256(title.encode()).hexdigest()[:8]
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{salt}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{salt}-", text)
    svg = text.replace(_INK, "currentColor").replace(_MARK, "var(--accent)")
    return Drawn(title, svg)
