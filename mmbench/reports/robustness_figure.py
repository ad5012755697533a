"""Curves of what models keep as damage grows, for a column of a paper; readable in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError
from mmbench.experiments.robustness import Curve, RobustnessComparison
from mmbench.reports.escape import one_line
from mmbench.reports.robustness import damage_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 3.3  # inches: a column of most two-column papers
_ROW = 1.15  # inches of a row of panels
_KEY = 0.17  # inches of a line of the key
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = "os^Dv<>P"
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def robustness_figure(found: RobustnessComparison, models: Sequence[str] | None = None) -> Figure:
    """A panel for each kind of damage, a line a model with its 95% intervals.

    Lines are told apart by colour, marker and dashes, so that print in grey will do.

    Args:
        found: what is drawn.
        models: which of its models, in this order; all if None.
    Raises: MMBenchError if there is no curve of them.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(models or found.models)
    damages = [d for d in found.damages if any((m, *d) in found.curves for m in shown)]
    if not damages:
        raise MMBenchError(f"there is no curve to be drawn of {', '.join(shown)}")
    rows, keys = math.ceil(len(damages) / 2), math.ceil(len(shown) / 2)
    height = rows * _ROW + keys * _KEY + 0.25
    with rc_context({"font.size": 7, "axes.linewidth": 0.6, "mathtext.default": "regular"}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        columns = min(2, len(damages))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for panel, damage in zip(panels.flat, damages, strict=False):
            panel.set_title(damage_title(*damage), fontsize=7, pad=2)
            for number, model in enumerate(shown):
                curve = found.curves.get((model, *damage))
                if curve is not None:
                    _draw(panel, curve, number, found.metric.scale)
            panel.set_xlim(-0.04, 1.04)
            panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            panel.tick_params(length=2, pad=1.5)
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(axis="y", linewidth=0.3, color="0.85")
        for panel in list(panels.flat)[len(damages) :]:
            panel.set_visible(False)
        figure.supylabel(_plain(found.metric.name), fontsize=7)
        figure.supxlabel("severity of the damage", fontsize=7)
        lines = {line.get_label(): line for panel in panels.flat for line in panel.containers}
        figure.legend(
            lines.values(),
            lines.keys(),
            loc="outside upper center",
            ncols=2,
            frameon=False,
            handlelength=3,
            borderpad=0,
            labelspacing=0.3,
        )
    return figure


def save_robustness_figure(found: RobustnessComparison, path: str | Path, **options: Any) -> None:
    """Write the figure to a file, whose ending says as what (.pdf, .png)."""
    from matplotlib import rc_context

    with rc_context({"pdf.fonttype": 42}):
        robustness_figure(found, **options).savefig(path, dpi=300)


def _draw(panel: Any, curve: Curve, number: int, scale: float) -> None:
    values = [point.mean * scale for point in curve.points]
    arms = [
        (0.0, 0.0)
        if point.interval is None
        else (
            (point.mean - point.interval.low) * scale,
            (point.interval.high - point.mean) * scale,
        )
        for point in curve.points
    ]
    panel.errorbar(
        curve.severity,
        values,
        yerr=list(zip(*arms, strict=True)),
        label=_plain(curve.model),
        color=_COLOURS[number % len(_COLOURS)],
        marker=_MARKERS[number % len(_MARKERS)],
        linestyle=_LINES[number % len(_LINES)],
        markersize=2.6,
        linewidth=0.9,
        elinewidth=0.6,
        markerfacecolor="white" if number % 2 else None,
        markeredgewidth=0.6,
    )


def _plain(text: str) -> str:
    """Data as plain text: matplotlib reads what stands between two dollars as mathematics."""
    return one_line(text).replace("$", r"\$")
