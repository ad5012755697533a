"""A comparison at a glance: each model's value with its interval, and every seed's value."""

from __future__ import annotations

from mmbench.reports.captions import data_words, measured_words, seed_counts
from mmbench.reports.escape import one_line
from mmbench.reports.figures.drawing import dot_of, draw_intervals
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, shortened
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
    with paper_style():
        figure, axes = new_figure(0.55 + _LINE * len(rows))
        dots = []
        for place, row in enumerate(rows):
            number = numbers[row.label]
            filled = number.best or number.mark.level or marks.family is None
            dots.append(dot_of(row.cells[column], filled))
            axes.text(
                *(1.02, place, f"{number.shown} {number.mark.letters}".strip()),
                transform=axes.get_yaxis_transform(),
                va="center",
            )
        draw_intervals(axes, [shortened(one_line(named[row.label])) for row in rows], dots)
        axes.set_xlabel(measured_words([part]))
    many = seed_counts(rows)[-1] > 1
    caption = f"{measured_words([part])} on {data_words([part])}, with 95% intervals"
    caption += " over seeds and samples; small strokes are seeds." if many else " over samples."
    if marks.family is not None:
        what = "different from the baseline" if marks.family.baseline else "worse than the best"
        caption += f" Filled: not significantly {what} (Holm over {marks.family.tests} tests)."
    return Drawn(sheet_name("comparison", column.task, column.dataset), caption, figure)
