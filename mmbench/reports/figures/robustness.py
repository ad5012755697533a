"""Curves of what models keep as damage grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmbench.experiments.robustness import RobustnessComparison
from mmbench.reports.beside import Compared
from mmbench.reports.captions import metric_words, split_words
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, series, shortened
from mmbench.reports.layouts.options import sheet_name, titles
from mmbench.reports.robustness import damage_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 1.15  # inches of a row of panels
_KEY = 0.15  # inches of a line of the key
_SHORT = 20  # letters of a name, where two stand side by side


def robustness_curves(compared: Compared) -> Drawn | None:
    """A panel for each kind of damage, a line a model with its 95% intervals; None without any."""
    found = compared.found
    if not found.damages:
        return None
    record, metric = found.record, found.metric
    measured = metric_words(metric.name, metric.signature)
    named = titles(compared.rows)
    rows = math.ceil(len(found.damages) / 2)
    with paper_style():
        names = {m: shortened(one_line(named[m]), 28) for m in found.models}
        across = 2 if max(map(len, names.values())) <= _SHORT else 1
        keys = math.ceil(len(names) / across)
        figure, panels = new_figure(
            rows * _ROW + keys * _KEY + 0.3,
            nrows=rows,
            ncols=min(2, len(found.damages)),
            sharey=True,
            squeeze=False,
        )
        for panel, damage in zip(panels.flat, found.damages, strict=False):
            panel.set_title(damage_title(*damage), fontsize=7, pad=2)
            draw_damage(panel, found, damage, list(names.values()))
            panel.tick_params(length=2, pad=1.5)
        for panel in list(panels.flat)[len(found.damages) :]:
            panel.set_visible(False)
        figure.supylabel(measured, fontsize=7)
        figure.supxlabel("Severity of the damage", fontsize=7)
        lines = {line.get_label(): line for panel in panels.flat for line in panel.containers}
        ordered = [name for name in names.values() if name in lines]
        figure.legend(
            *([lines[name] for name in ordered], ordered),
            loc="outside upper center",
            ncols=across,
            frameon=False,
            handlelength=2.8,
        )
    caption = (
        f"{measured} on {split_words(record)} as damage to the inputs grows, from none (0) to "
        "most (1), with 95% intervals."
    )
    return Drawn(
        sheet_name("robustness", record.task, record.dataset, *compared.parts), caption, figure
    )


def draw_damage(
    axes: Axes, found: RobustnessComparison, damage: tuple[str, str], names: Sequence[str]
) -> None:
    """A line a model that was asked under a kind of damage.

    Args:
        axes: to draw on.
        found: whose numbers.
        damage: corruption and modality.
        names: of its models, in their order.
    """
    scale = found.metric.scale
    for number, (model, name) in enumerate(zip(found.models, names, strict=True)):
        curve = found.curves.get((model, *damage))
        if curve is None:
            continue
        means = [point.mean * scale for point in curve.points]
        ends = [
            (p.interval.low, p.interval.high) if p.interval else (p.mean,) * 2 for p in curve.points
        ]
        arms = [
            [mean - low * scale for mean, (low, _) in zip(means, ends, strict=True)],
            [high * scale - mean for mean, (_, high) in zip(means, ends, strict=True)],
        ]
        look = series(number)
        axes.errorbar(
            *(curve.severity, means),
            yerr=arms,
            label=name,
            elinewidth=0.6,
            markerfacecolor="white" if number % 2 else look["color"],
            **look,
        )
    axes.set_xlim(-0.04, 1.04)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
