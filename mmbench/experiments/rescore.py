"""A record scored again from its stored answers, without a model, and checked against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult, predictions_file
from mmbench.experiments.score import Scores, score_answers
from mmbench.metrics.base import Metric
from mmbench.records.record import Record
from mmbench.records.store import PREDICTIONS_FILE, RUN_FILE, STATISTICS_FILE, write_record
from mmbench.task import Task


def rescored(
    folder: Path, record: Record, task: Task, samples: SampleSet, metrics: Sequence[Metric]
) -> Record:
    """Score a record's answers by other metrics, and write it anew with these.

    Args:
        folder, record: where it lies, and what it holds.
        task: its task.
        samples: that were asked, in the record's order.
        metrics: the first one first.
    Raises: MMBenchError if the answers are not of these samples.
    """
    answers = stored_answers(folder, task, samples)
    scores = score_answers(metrics, samples, answers)
    files = {
        name: (folder / name).read_bytes() for name in record.files if (folder / name).exists()
    }
    table = task.table(samples, answers)
    files[PREDICTIONS_FILE] = predictions_file(samples, table, scores.statistics)
    files[STATISTICS_FILE] = scores.kept(samples).to_bytes()
    notes = list(dict.fromkeys([*record.notes, *scores.notes]))
    changed = {"metrics": scores.entries, "failed": scores.failed, "notes": notes}
    return write_record(folder, record.model_copy(update=changed), files)


def check_answers(
    folder: Path, record: Record, task: Task, samples: SampleSet, metrics: Sequence[Metric]
) -> None:
    """Compute every value of a record again from its stored answers.

    Raises: MMBenchError naming a value that they do not give.
    """
    scores: Scores = score_answers(metrics, samples, stored_answers(folder, task, samples))
    found = {(entry.name, entry.signature, entry.category): entry.value for entry in scores.entries}
    for entry in record.metrics:
        value = found.get((entry.name, entry.signature, entry.category))
        if value is not None and not math.isclose(value, entry.value, rel_tol=1e-6, abs_tol=1e-9):
            of = f" of {entry.category}" if entry.category else ""
            raise MMBenchError(
                f"{folder / RUN_FILE}: {entry.name}{of} is {entry.value}, but the stored answers "
                f"give {value}"
            )


def stored_answers(folder: Path, task: Task, samples: Sequence[Sample]) -> list[Any]:
    """The answers that a record keeps, in the samples' order.

    Raises: MMBenchError if they are not of these samples.
    """
    table = RunResult.predictions_in(folder)
    if table["id"].tolist() != [sample.id for sample in samples]:
        raise MMBenchError(
            f"the answers in {folder} are of other samples than the dataset has now: they cannot "
            "be scored again"
        )
    return task.answers(table["prediction"].tolist())
