"""Training curves: validation by epoch, from the runs' logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.records.record import MetricEntry, Record
from mmbench.records.store import LOG_FILE
from mmbench.reports.escape import one_line
from mmbench.reports.figures.drawing import draw_training
from mmbench.reports.figures.style import Drawn, new_figure, paper_style, series, shortened
from mmbench.reports.layouts.options import Options, sheet_name, titles
from mmbench.reports.names import dataset_title, full_metric_title, in_sentence
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
        found = [log.validation for run in runs if len((log := training_log(run)).validation) > 1]
        if found:
            shortest = min(map(len, found))
            curves.append((row, np.stack([values[:shortest] for values in found])))
    if not curves:
        return None
    scale, label = validation_words(curves[0][0].record_of(column), table.entries[column])
    named = titles([row for row, _ in curves])
    with paper_style():
        names = [shortened(one_line(named[row.label]), 28) for row, _ in curves[:_NAMED]]
        across = 2 if max(map(len, names)) <= _SHORT else 1
        figure, axes = new_figure(1.9 + 0.15 * -(-len(names) // across))
        for number, (_, values) in reversed(list(enumerate(curves))):
            if number < _NAMED:
                draw_training(axes, values * scale, series(number), names[number])
            else:
                look = {"color": "0.8", "linewidth": 0.6, "zorder": 1}
                draw_training(axes, values.mean(axis=0)[None] * scale, look)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(label)
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


@dataclass(frozen=True)
class TrainingLog:
    """The course of the task's own stage of a training; (E,), empty where nothing was trained.

    Attributes:
        loss: in training.
        validation: what was maximised.
    """

    loss: FloatArray
    validation: FloatArray


def training_log(run: RunResult) -> TrainingLog:
    """What a run's log says of its training, epoch after epoch.

    Raises: MMBenchError if it cannot be read.
    """
    if LOG_FILE not in run.record.files:
        return TrainingLog(np.empty(0), np.empty(0))
    try:
        lines = (run.path / LOG_FILE).read_text(encoding="utf-8").splitlines()
        entries: Sequence[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
        last = entries[-1].get("stage") if entries else None
        entries = [entry for entry in entries if entry.get("stage") == last]
        loss, validation = ([float(e[key]) for e in entries] for key in ("loss", "validation"))
        return TrainingLog(np.array(loss), np.array(validation))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MMBenchError(f"{run.path / LOG_FILE} cannot be read: {error}") from None


def validation_words(record: Record, entry: MetricEntry) -> tuple[float, str]:
    """What the logged validation is multiplied by to be shown, and what it is.

    Args:
        record: of any of the runs.
        entry: of the metric whose scale is taken, if it is what chose the epoch.
    """
    chosen_by = record.identity.chosen_by or ""
    if chosen_by == "loss":
        return -1.0, "Validation loss"  # logs hold what is maximised
    scale = entry.scale if chosen_by == entry.signature else 1.0
    if chosen_by == entry.signature and not entry.higher_is_better:
        scale = -scale
    title = full_metric_title(chosen_by.partition("|")[0])
    return scale, f"Validation {one_line(in_sentence(title))}"
