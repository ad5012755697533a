"""Which kinds of sample each model gets right: of interaction, of question."""

from __future__ import annotations

import numpy as np

from mmbench.reports.captions import data_words, measured_words
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, shortened
from mmbench.reports.layouts.categories import ALL, category_cells, category_names
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.names import tidied
from mmbench.reports.table import Table

_LINE = 0.15  # inches a model
_FLAT = 42  # letters that have room beside each other above the columns
_DARK = 0.5  # of the shades: letters above are white


def kinds(table: Table, options: Options) -> Drawn | None:
    """A heat map, models by kinds, with the values in it; None without kinds or models."""
    names = category_names(table)
    if not names:
        return None
    column = table.columns[0]
    found = category_cells(table)
    rows = [row for row in table.rows if row.label in found[ALL]]
    scale = table.entries[column].scale
    values = np.full((len(rows), len(names)), np.nan)
    for place, row in enumerate(rows):
        for at, name in enumerate(names):
            if row.label in found[name]:
                values[place, at] = found[name][row.label][0].mean * scale
    if len(rows) < 2 or np.isnan(values).all():
        return None
    named = titles(rows)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    shades = (values - low) / (high - low or 1.0)
    with paper_style():
        figure, axes = new_figure(0.62 + _LINE * len(rows))
        axes.pcolormesh(0.12 + 0.78 * shades, cmap="Greys", vmin=0, vmax=1, edgecolors="white")
        for place, at in np.ndindex(values.shape):
            if not np.isnan(values[place, at]):
                dark = 0.12 + 0.78 * shades[place, at] > _DARK
                axes.text(
                    *(at + 0.5, place + 0.5, f"{values[place, at]:.1f}"),
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color="white" if dark else "black",
                )
        axes.invert_yaxis()
        heads = [_wrapped(shortened(one_line(tidied(name)), 24)) for name in names]
        longest = max(len(word) for head in heads for word in head.split("\n"))
        axes.set_xticks(np.arange(len(names)) + 0.5, heads)
        if longest * len(names) > _FLAT:
            axes.set_xticks(np.arange(len(names)) + 0.5, [h.replace("\n", " ") for h in heads])
            axes.tick_params(axis="x", labelrotation=35)
            for label in axes.get_xticklabels():
                label.set(ha="left", rotation_mode="anchor")
        axes.set_yticks(
            np.arange(len(rows)) + 0.5, [shortened(one_line(named[r.label]), 26) for r in rows]
        )
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        for side in axes.spines.values():
            side.set_visible(False)
    part = Table([column], table.entries, table.rows, {}, [])
    caption = (
        f"{measured_words([part])} by kind of sample, on {data_words([part])}; models by their "
        "value over all samples."
    )
    return Drawn(sheet_name("kinds", column.task, column.dataset), caption, figure)


def _wrapped(text: str) -> str:
    """On two lines, where it has two words."""
    return text.replace(" ", "\n", 1)
