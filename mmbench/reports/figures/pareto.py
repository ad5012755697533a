"""Cost and quality: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.reports.captions import data_words, measured_words
from mmbench.reports.counts import count
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import DARK, GREY, Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.cost import COSTS, cost_of
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.table import Table

_KINDS = {
    "operations": "Operations per sample",
    "trained_parameters": "Trained parameters",
}
_NEAR = 7  # points up or down, where it is plain whose name it is
_PLACES = [  # of names, right and up of their point
    (side * right, up)
    for right, up in ((4, 7), (4, -7), (5, 0), (8, -16), (8, 16), (8, -26), (8, -36), (8, -46))
    for side in (1, -1)
]


def pareto(table: Table, options: Options) -> Drawn | None:
    """The first metric by operations (or parameters); None of fewer than three that have any."""
    column = table.columns[0]
    rows = [row for row in table.rows if column in row.cells]
    for kind in (k for name in _KINDS for k in COSTS if k.name == name):
        costs = {row.label: cost_of(row, kind) for row in rows}
        points = [(row, cost) for row in rows if (cost := costs[row.label])]
        if len(points) > 2 and len({cost for _, cost in points}) > 1:
            break
    else:
        return None
    part = Table([column], table.entries, table.rows, {}, [])
    entry, named = table.entries[column], titles(rows)
    values = {row.label: row.cells[column].mean * entry.scale for row, _ in points}
    sign = 1 if entry.higher_is_better else -1
    best = frontier([(cost, sign * values[row.label]) for row, cost in points])
    from matplotlib.ticker import LogLocator, NullLocator

    with paper_style():
        figure, axes = new_figure(2.3)
        for place, (row, cost) in enumerate(points):
            interval = row.cells[column].interval
            if interval is not None:
                ends = [interval.low * entry.scale, interval.high * entry.scale]
                axes.plot([cost, cost], ends, color=GREY, linewidth=0.7, zorder=1)
            on = place in best
            axes.plot(
                *([cost], [values[row.label]], "o"),
                color=DARK if on else GREY,
                markerfacecolor=DARK if on else "white",
                zorder=3,
            )
        steps = sorted((points[p][1], values[points[p][0].label]) for p in best)
        axes.step(
            *zip(*steps, strict=True),
            where="post",
            color=DARK,
            linewidth=0.8,
            linestyle=(0, (4, 2)),
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=8))
        axes.xaxis.set_major_formatter(lambda value, _: count(value))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.12, y=0.1)
        axes.set_xlabel(_KINDS[kind.name])
        axes.set_ylabel(measured_words([part]))
        order = [*best, *(p for p in range(len(points)) if p not in best)]
        names = [shortened(one_line(named[points[p][0].label]), 28) for p in order]
        where = [(points[p][1], values[points[p][0].label]) for p in order]
        _name(figure, axes, where, names)
    caption = (
        f"{measured_words([part])} on {data_words([part])}, with 95% intervals, by "
        f"{_KINDS[kind.name].lower()}. Filled: no other model is better for as little."
    )
    return Drawn(sheet_name("pareto", column.task, column.dataset), caption, figure)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of points (cost, quality) that no other beats: none is better for as little.

    >>> frontier([(1.0, 5.0), (2.0, 4.0), (2.0, 7.0), (3.0, 7.0)])
    [0, 2]
    """
    best: list[int] = []
    for place in sorted(range(len(points)), key=lambda p: (points[p][0], -points[p][1])):
        if not best or points[place][1] > points[best[-1]][1]:
            best.append(place)
    return best


def _name(figure: Any, axes: Any, points: Any, names: Sequence[str]) -> None:
    """Names beside points, where they cover no other name and no point, or farther off with a line.

    Points whose name finds no free place have none; the first in order choose first.
    """
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    dots = [axes.transData.transform(point) for point in points]
    taken: list[Any] = []
    for point, name in zip(points, names, strict=True):
        for right, up in _PLACES:
            far = abs(up) > _NEAR
            text = axes.annotate(
                *(name, point, (right, up)),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                va="center",
                fontsize=6.5,
                zorder=2,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.2},
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": GREY, "shrinkB": 2}
                if far
                else None,
            )
            box = text.get_window_extent(renderer)
            free = not any(box.overlaps(other) for other in taken)
            free &= not any(box.contains(*dot) for dot in dots)
            free &= inside.x0 <= box.x0 and box.x1 <= inside.x1 + 4
            free &= inside.y0 <= box.y0 and box.y1 <= figure.bbox.y1
            if free:
                taken.append(box)
                break
            text.remove()
