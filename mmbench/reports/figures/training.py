"""Training curves: validation by epoch, from the runs' logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.records.store import LOG_FILE
from mmbench.reports.escape import one_line
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, series, shortened
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.names import dataset_title, in_sentence, metric_title
from mmbench.reports.table import Row, Table
from mmbench.statistics.bootstrap import FloatArray

_SHORT = 20  # letters of a name, where two stand side by side
_NAMED = 7  # models that have a marker and a name; the others are thin and grey


def training_curves(table: Table, options: Options) -> Drawn | None:
    """A line a model, mean over seeds, with the range of seeds; None where nothing was trained."""
    column = table.columns[0]
    curves: list[tuple[Row, FloatArray]] = []
    for row in table.rows:
        runs = row.runs.get(column, {}).values()
        found = [curve for run in runs if len(curve := _curve(run)) > 1]
        if found:
            shortest = min(map(len, found))
            curves.append((row, np.stack([curve[:shortest] for curve in found])))
    if not curves:
        return None
    record = curves[0][0].record_of(column)
    chosen_by = record.identity.chosen_by or ""
    if chosen_by == "loss":
        scale, label = -1.0, "Validation loss"  # logs hold what is maximised
    else:
        entry = table.entries[column]
        scale = entry.scale if chosen_by == column.signature else 1.0
        if chosen_by == column.signature and not entry.higher_is_better:
            scale = -scale
        title, heading = metric_title(chosen_by.partition("|")[0])
        label = f"Validation {one_line(in_sentence(f'{heading} {title}'.strip()))}"
    named = titles([row for row, _ in curves])
    with paper_style():
        names = [shortened(one_line(named[row.label]), 28) for row, _ in curves[:_NAMED]]
        across = 2 if max(map(len, names)) <= _SHORT else 1
        figure, axes = new_figure(1.9 + 0.15 * -(-len(names) // across))
        for number, (_, values) in reversed(list(enumerate(curves))):
            epochs = np.arange(1, values.shape[1] + 1)
            mean = values.mean(axis=0) * scale
            if number >= _NAMED:
                axes.plot(epochs, mean, color="0.8", linewidth=0.6, zorder=1)
                continue
            look = series(number)
            if len(values) > 1:
                ends = np.sort(np.stack([values.min(axis=0), values.max(axis=0)]) * scale, axis=0)
                axes.fill_between(epochs, *ends, color=look["color"], alpha=0.15, linewidth=0)
            axes.plot(epochs, mean, label=names[number], markevery=max(1, len(epochs) // 8), **look)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            *(handles[::-1], labels[::-1]),
            loc="outside lower center",
            ncols=across,
            frameon=False,
            handlelength=2.8,
        )
    several = max(len(values) for _, values in curves) > 1
    caption = f"{label} by epoch of training on {dataset_title(column.dataset)}"
    caption += ", mean over seeds; bands reach from the lowest to the highest." if several else "."
    if len(curves) > _NAMED:
        caption += f" The {_NAMED} best models are named; {len(curves) - _NAMED} others are grey."
    return Drawn(sheet_name("training", column.task, column.dataset), caption, figure)


def _curve(run: RunResult) -> list[float]:
    """Validation after each epoch of the task's own stage; nothing where there is no log."""
    if LOG_FILE not in run.record.files:
        return []
    try:
        lines = (run.path / LOG_FILE).read_text(encoding="utf-8").splitlines()
        entries: Sequence[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
        last = entries[-1].get("stage") if entries else None
        return [float(e["validation"]) for e in entries if e.get("stage") == last]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MMBenchError(f"{run.path / LOG_FILE} cannot be read: {error}") from None
