"""What figures for papers, for notebooks and for pages draw alike, on axes that they are given.

Sizes of markers and lines are those of matplotlib's settings at the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmbench.reports.cells import Cell
from mmbench.reports.counts import count
from mmbench.reports.figures.style import DARK, GREY
from mmbench.reports.pareto import frontier
from mmbench.statistics.bootstrap import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAR = 4  # how much dearer the dearest is than the cheapest where the axis is logarithmic


@dataclass(frozen=True)
class Dot:
    """A value as it is shown.

    Attributes:
        value: of a model, or of a kind of sample.
        low, high: of its interval; None where there is none.
        seeds: each one's value.
        filled: whether the dot is.
    """

    value: float
    low: float | None = None
    high: float | None = None
    seeds: Sequence[float] = ()
    filled: bool = True


def dot_of(cell: Cell, filled: bool = True) -> Dot:
    """A table's value."""
    ends = cell.interval
    return Dot(
        cell.mean * cell.scale,
        ends.low * cell.scale if ends else None,
        ends.high * cell.scale if ends else None,
        [value * cell.scale for value in cell.values.values()],
        filled,
    )


def draw_intervals(
    axes: Axes, names: Sequence[str], dots: Sequence[Dot], dark: str = DARK, grey: str = GREY
) -> None:
    """A dot a line from the top, with its interval, and a stroke a seed where there are several."""
    from matplotlib import rcParams

    for place, dot in enumerate(dots):
        if len(dot.seeds) > 1:
            size = 1.5 * rcParams["lines.markersize"]
            axes.plot(
                dot.seeds, [place] * len(dot.seeds), "|", color=grey, markersize=size, zorder=1
            )
        if dot.low is not None and dot.high is not None:
            axes.plot([dot.low, dot.high], [place, place], color=dark, solid_capstyle="butt")
        face = dark if dot.filled else "white"
        axes.plot([dot.value], [place], "o", color=dark, markerfacecolor=face, zorder=3)
    axes.set_yticks(range(len(dots)), names, parse_math=False)
    axes.set_ylim(len(dots) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.5", alpha=0.2, linewidth=0.6)
    axes.set_axisbelow(True)


def draw_costs(
    axes: Axes,
    costs: Sequence[float],
    dots: Sequence[Dot],
    looks: Sequence[dict[str, Any]],
    line: bool = True,
    higher_is_better: bool = True,
    dark: str = DARK,
) -> None:
    """Values by cost with their intervals, on a logarithmic axis where costs are far apart.

    Args:
        axes: to draw on.
        costs, dots: of each model.
        looks: of each dot: colour; marker, label.
        line: whether a stair joins those that no other beats.
        higher_is_better: of the values.
        dark: the stair's colour.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    for cost, dot, look in zip(costs, dots, looks, strict=True):
        if dot.low is not None and dot.high is not None:
            axes.plot(
                [cost, cost], [dot.low, dot.high], color=look["color"], linewidth=0.8, zorder=1
            )
        face = look["color"] if dot.filled else "white"
        axes.plot(
            [cost],
            [dot.value],
            **{"marker": "o"} | look | {"linestyle": ""},
            markerfacecolor=face,
            zorder=3,
        )
    if line:
        sign = 1 if higher_is_better else -1
        best = frontier([(cost, sign * dot.value) for cost, dot in zip(costs, dots, strict=True)])
        xs, ys = [costs[place] for place in best], [dots[place].value for place in best]
        axes.step(xs, ys, where="post", color=dark, linewidth=0.8, linestyle="--", zorder=0)
    if 0 < _FAR * min(costs) < max(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=8))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: count(value) if value >= 1e3 else f"{value:g}")
    axes.margins(x=0.12, y=0.1)


def draw_training(axes: Axes, values: FloatArray, look: dict[str, Any], label: str = "") -> None:
    """A line over epochs, the mean of seeds, in a band from the lowest to the highest.

    Args:
        axes: to draw on.
        values: (seeds, epochs).
        look: colour, marker and dash.
        label: of the line; none in the key if it is empty.
    """
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, values.shape[1] + 1)
    if len(values) > 1:
        ends = values.min(axis=0), values.max(axis=0)
        axes.fill_between(epochs, *ends, color=look["color"], alpha=0.15, linewidth=0)
    every = max(1, len(epochs) // 8)
    axes.plot(epochs, values.mean(axis=0), label=label or None, markevery=every, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
