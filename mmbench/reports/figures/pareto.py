"""Cost and quality: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.reports.captions import data_words, measured_words
from mmbench.reports.costs import DRAWN, cost_of
from mmbench.reports.escape import one_line
from mmbench.reports.figures.drawing import dot_of, draw_costs
from mmbench.reports.figures.style import DARK, GREY, Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.pareto import frontier
from mmbench.reports.table import Table

_KINDS = ("operations", "trained_parameters")  # the first one that is known of enough models
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
    for kind in (DRAWN[name] for name in _KINDS):
        points = [(row, cost) for row in rows if (cost := cost_of(row.results(), kind))]
        if len(points) > 2 and len({cost for _, cost in points}) > 1:
            break
    else:
        return None
    part = Table([column], table.entries, table.rows, {}, [])
    entry, named = table.entries[column], titles(rows)
    sign = 1 if entry.higher_is_better else -1
    best = frontier([(cost, sign * row.cells[column].mean) for row, cost in points])
    dots = [
        dot_of(row.cells[column], filled=place in best) for place, (row, _) in enumerate(points)
    ]
    with paper_style():
        figure, axes = new_figure(2.3)
        looks = [{"color": DARK if dot.filled else GREY} for dot in dots]
        costs = [cost for _, cost in points]
        draw_costs(axes, costs, dots, looks, higher_is_better=entry.higher_is_better)
        axes.set_xlabel(kind.axis[0].upper() + kind.axis[1:])
        axes.set_ylabel(measured_words([part]))
        order = [*best, *(p for p in range(len(points)) if p not in best)]
        names = [shortened(one_line(named[points[p][0].label]), 28) for p in order]
        where = [(costs[p], dots[p].value) for p in order]
        _name(figure, axes, where, names)
    caption = (
        f"{measured_words([part])} on {data_words([part])}, with 95% intervals, by "
        f"{kind.axis}. Filled: no other model is better for as little."
    )
    return Drawn(sheet_name("pareto", column.task, column.dataset), caption, figure)


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
