"""A paragraph on methods, of what the records say and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmbench.experiments.conditions import conditions, part_words
from mmbench.experiments.result import RunResult
from mmbench.recipe import Train
from mmbench.records.record import Record
from mmbench.reports.captions import data_words, listed
from mmbench.reports.names import dataset_title, in_sentence, metric_title, task_title
from mmbench.reports.table import Table

_PACKAGES = ("torch", "transformers", "numpy")  # whose versions a paper names
_SETTINGS = {
    "epochs": "{} epochs",
    "batch": "batches of {}",
    "accumulate": "gradients of {} batches a step",
    "optimizer": "the optimizer {}",
    "lr": "a learning rate of at most {}",
    "schedule": "the {} schedule",
    "weight_decay": "weight decay {}",
    "label_smoothing": "label smoothing {}",
    "modality_dropout": "modality dropout {}",
    "ema": "an exponential moving average of the weights (decay {})",
    "patience": "an end after {} epochs without gain on validation",
}
# Settings that are not named where they are so.
_OFF = {
    **dict.fromkeys(("label_smoothing", "modality_dropout", "ema"), 0),
    **{"accumulate": 1, "optimizer": "adamw", "patience": None},
}


def methods(tables: Sequence[Table], tests: int) -> list[str]:
    """Paragraphs: data and models of each task; training; statistics; software and machines.

    Args:
        tables: of the numbers that are shown.
        tests: that Holm's correction is over, summed over the tables.
    """
    runs = all_runs(tables)
    records = [run.record for run in runs]
    text = []
    for task in dict.fromkeys(table.columns[0].task for table in tables):
        of_task = [table for table in tables if table.columns[0].task == task]
        text.append(_data(of_task))
        text += [_training(table) for table in of_task]
    text.append(_choice(records))
    return [" ".join(filter(None, text)), _statistics(records, tests), _software(records)]


def all_runs(tables: Iterable[Table]) -> list[RunResult]:
    """Those of all tables, each once."""
    found = {run.path: run for table in tables for row in table.rows for run in row.results()}
    return list(found.values())


def _data(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        models = {row.model for row in table.rows}
        count = f"{len(models)} model{'' if len(models) == 1 else 's'}"
        parts.append(f"{count} on {data_words([table])}")
    return f"For {in_sentence(task_title(tables[0].columns[0].task))} we evaluate {listed(parts)}."


def _training(table: Table) -> str:
    """The settings that are equal for all models of a dataset, and which are not."""
    records = [row.record for row in table.rows if row.record.training]
    settings = [record.recipe["train"] for record in records if record.recipe.get("train")]
    if not settings:
        return ""
    equal, differing = [], []
    defaults = Train().model_dump(mode="json")  # of what is newer than a record
    for key, words in _SETTINGS.items():
        found = [part_words(each.get(key, defaults[key])) for each in settings]
        values = {str(value): value for value in found}
        if len(values) > 1:
            differing.append(f"{key.replace('_', ' ')} ({listed(sorted(values))})")
        elif (value := next(iter(values.values()))) is not None and not _is_off(key, value):
            words = words.replace("epochs", "epoch") if value == 1 else words
            equal.append(words.format(_plain(value)))
    samples = sorted({record.training.samples for record in records if record.training})
    where = dataset_title(table.columns[0].dataset)
    counts = {len(c.values) for row in table.rows for c in row.cells.values()}
    seeds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
    text = (
        f"On {where}, models are trained on {listed(f'{n:,}' for n in samples)} samples with "
        f"{listed(equal)}, and {seeds} seed{'' if seeds == '1' else 's'} each."
    )
    text += f" They differ in {listed(differing)}." if differing else ""
    return text + _tuning(records)


def _tuning(records: Sequence[Record]) -> str:
    """What trials chose the settings; empty where none did."""
    tuned = [record.tuning for record in records if record.tuning]
    if not tuned:
        return ""
    counts = sorted({entry.trials for entry in tuned})
    number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    keys = sorted({key.rpartition(".")[2].replace("_", " ") for e in tuned for key in e.keys})
    whose = "Each model's settings" if len(tuned) == len(records) else "Settings of some models"
    return f" {whose} are the best of {number} trials on validation data, over {listed(keys)}."


def _is_off(key: str, value: Any) -> bool:
    return key in _OFF and value == _OFF[key]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", "-")


def _choice(records: Sequence[Record]) -> str:
    chosen = {r.identity.chosen_by for r in records if r.training and r.identity.chosen_by}
    if not chosen:
        return ""
    words = [
        "the lowest loss" if by == "loss" else f"the best {_metric(by.partition('|')[0])}"
        for by in sorted(chosen)
    ]
    return (
        f"Of each training the weights of the epoch with {listed(words)} on validation data are "
        "evaluated; the data that are reported on choose nothing."
    )


def _metric(name: str) -> str:
    title, heading = metric_title(name)
    return in_sentence(f"{heading} {title}".strip())


def _statistics(records: Sequence[Record], tests: int) -> str:
    intervals = [e.interval for r in records for e in r.metrics if e.interval is not None]
    if not intervals:
        return "No intervals are recorded."
    replicates = sorted({i.replicates for i in intervals})
    levels = sorted({f"{i.level:.0%}" for i in intervals})
    count = (
        f"{replicates[0]:,}" if len(replicates) == 1 else f"{replicates[0]:,} to {replicates[-1]:,}"
    )
    text = (
        f"Intervals ({listed(levels)}) are over seeds (Student's t) and samples (percentiles of a "
        f"bootstrap that redraws groups of dependent samples, {count} replicates), joined by MOVER "
        "(Zou and Donner, 2008); of a single training they are over samples alone."
    )
    if tests:
        text += (
            " Differences of two models are paired by sample, and by seed where both have the same "
            f"ones; their p-values ({tests} test{'s' if tests > 1 else ''}) are corrected by "
            "Holm's method within each table, at a significance level of 0.05."
        )
    return text


def _software(records: Sequence[Record]) -> str:
    here = [record.environment for record in records]
    versions = [f"mmbench {listed(sorted({e.mmbench for e in here}))}"]
    commits = sorted({e.git_commit[:8] for e in here if e.git_commit})
    if commits:
        versions[0] += f" (commit{'s' if len(commits) > 1 else ''} {listed(commits)})"
    for package in _PACKAGES:
        found = sorted({e.packages[package] for e in here if package in e.packages})
        if found:
            versions.append(f"{package} {listed(found)}")
    versions.append(f"Python {listed(sorted({e.python for e in here}))}")
    devices = listed(sorted({e.device_name for e in here}))
    trained = sum(r.training.seconds for r in records if r.training) / 3600
    text = f"Made with {listed(versions)}, on {devices}."
    if trained:
        text += f" Training took {trained:.1f} hours over {len(records)} runs."
    return text


def training_equal(table: Table) -> tuple[bool, list[str]]:
    """Whether all models of a table were trained with equal settings, and which were not."""
    by_model = {row.label: [run.record for run in row.results()] for row in table.rows}
    trained = {label: rs for label, rs in by_model.items() if any(r.training for r in rs)}
    found = conditions(trained)
    differ = [name for name in found.differed if name.startswith("train.")]
    return not differ, [name.removeprefix("train.") for name in differ]
