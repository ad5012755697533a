"""A comparison at a glance: each model's value with its interval, and every seed's value."""

from __future__ import annotations

from mmbench.reports.captions import data_words, measured_words, seed_counts
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import DARK, GREY, Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.options import (
    Options,
    baseline_row,
    column_numbers,
    marks_for,
    sheet_name,
    titles,
)
from mmbench.reports.table import Table

_LINE = 0.155  # inches a model


def comparison(table: Table, options: Options) -> Drawn | None:
    """A dot a model, best first, by the first metric; None of fewer than two models.

    Filled: not significantly worse than the best (or different from the baseline).
    """
    column = table.columns[0]
    part = Table([column], table.entries, table.rows, {}, [])
    rows = [row for row in table.rows if column in row.cells]
    if len(rows) < 2:
        return None
    marks = marks_for([part], baseline_row(rows, options.baseline))
    numbers, named = column_numbers(part, column, marks, options), titles(rows)
    scale = table.entries[column].scale
    with paper_style():
        figure, axes = new_figure(0.55 + _LINE * len(rows))
        for place, row in enumerate(rows):
            number = numbers[row.label]
            value = number.mean * scale
            if number.low is not None and number.high is not None:
                ends = [number.low * scale, number.high * scale]
                axes.plot(ends, [place, place], color=DARK, linewidth=1, solid_capstyle="butt")
            if number.seeds > 1:
                seeds = [v * scale for v in row.cells[column].values.values()]
                axes.plot(seeds, [place] * len(seeds), "|", color=GREY, markersize=5, zorder=1)
            level = number.best or number.mark.level or marks.family is None
            axes.plot(
                [value],
                [place],
                "o",
                color=DARK,
                markerfacecolor=DARK if level else "white",
                zorder=3,
            )
            axes.text(
                *(1.02, place, f"{number.shown} {number.mark.letters}".strip()),
                transform=axes.get_yaxis_transform(),
                va="center",
            )
        axes.set_yticks(range(len(rows)), [shortened(one_line(named[r.label])) for r in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(measured_words([part]))
    many = seed_counts(rows)[-1] > 1
    caption = f"{measured_words([part])} on {data_words([part])}, with 95% intervals"
    caption += " over seeds and samples; small strokes are seeds." if many else " over samples."
    if marks.family is not None:
        what = "different from the baseline" if marks.family.baseline else "worse than the best"
        caption += f" Filled: not significantly {what} (Holm over {marks.family.tests} tests)."
    return Drawn(sheet_name("comparison", column.task, column.dataset), caption, figure)
