"""Cost and quality: which models no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.reports.captions import data_words, measured_words
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import DARK, GREY, Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.cost import COSTS, cost_of
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.table import Table

_KINDS = {
    "operations": "Operations per sample",
    "trained_parameters": "Trained parameters",
}
_PLACES = ((4, 4, "left"), (-4, 4, "right"), (4, -9, "left"), (-4, -9, "right"))  # of names


def pareto(table: Table, options: Options) -> Drawn | None:
    """The first metric by operations (or parameters); None of fewer than three that have any."""
    column = table.columns[0]
    rows = [row for row in table.rows if column in row.cells]
    for kind in (k for k in COSTS if k.name in _KINDS):
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
        axes.margins(x=0.12, y=0.1)
        axes.set_xlabel(_KINDS[kind.name])
        axes.set_ylabel(measured_words([part]))
        order = [*best, *(p for p in range(len(points)) if p not in best)]
        names = [shortened(one_line(named[points[p][0].label]), 20) for p in order]
        where = [(points[p][1], values[points[p][0].label]) for p in order]
        _name(figure, axes, where, names, len(best))
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


def _name(figure: Any, axes: Any, points: Any, names: Sequence[str], must: int) -> None:
    """Names beside points, where they cover no other name and no point; the first ones always."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    dots = [axes.transData.transform(point) for point in points]
    taken: list[Any] = []
    for number, (point, name) in enumerate(zip(points, names, strict=True)):
        for place, (right, up, side) in enumerate(_PLACES):
            text = axes.annotate(
                name, point, (right, up), textcoords="offset points", ha=side, fontsize=6.5
            )
            box = text.get_window_extent(renderer)
            inside = axes.get_window_extent(renderer)
            free = not any(box.overlaps(other) for other in taken)
            free &= not any(box.contains(*dot) for dot in dots)
            free &= inside.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= inside.y0
            if free or (number < must and place == len(_PLACES) - 1):
                taken.append(box)
                break
            text.remove()
