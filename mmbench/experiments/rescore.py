"""A record scored again from its stored answers, without a model, and checked against them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.splits import is_at_hand
from mmbench.errors import MMBenchError
from mmbench.experiments.result import FAILURE, RunResult, predictions_file
from mmbench.experiments.score import load_metrics, score_answers
from mmbench.metrics.base import Metric
from mmbench.recipe import Recipe
from mmbench.records.probe_record import PROBE_FILE, find_probes, read_probe
from mmbench.records.record import Record
from mmbench.records.robustness_file import read_robustness
from mmbench.records.statistics_file import BoolArray
from mmbench.records.store import (
    PREDICTIONS_FILE,
    STATISTICS_FILE,
    find_records,
    rewrite_record,
)
from mmbench.records.verification import verified
from mmbench.task import Task
from mmbench.yaml_file import validate


def rescored(
    folder: Path, record: Record, task: Task, samples: Sequence[Sample], metrics: Sequence[Metric]
) -> Record:
    """Score a record's answers by other metrics, and write it anew with these.

    Args:
        folder, record: where it lies, and what it holds.
        task: its task.
        samples: that were asked, in the record's order.
        metrics: the first one first.
    Raises: MMBenchError if the answers are not of these samples.
    """
    stored = stored_answers(folder, task, samples)
    answered = list(compress(samples, stored.mask))
    scores = score_answers(metrics, answered, stored.answers)
    table = task.table(answered, stored.answers)
    if stored.failures:
        table["target"] = task.targets(samples)
    if stored.written is not None:
        table["written"] = stored.written
    mask = stored.mask if stored.failures else None
    files = {
        PREDICTIONS_FILE: predictions_file(samples, table, scores.statistics, stored.failures),
        STATISTICS_FILE: scores.kept(samples, mask).to_bytes(),
    }
    notes = list(dict.fromkeys([*record.notes, *scores.notes]))
    changed = {"metrics": scores.entries, "failed": scores.failed, "notes": notes}
    return rewrite_record(folder, record.model_copy(update=changed), files)


def verify_records(
    paths: Sequence[Path], data_dir: Path | None = None
) -> Iterator[tuple[Path, str | None]]:
    """Compute every value of the records at or below the paths again from their stored answers.

    Those of probes too, from what they keep of each sample.

    What was asked is read from the dataset, or where that is not at hand from the record's own
    table, whose hash the record names. Records that are kept without their answers are checked
    against their statistics.

    Yields: a record's folder, and what does not hold; None where all does.
    """
    read: dict[tuple[str, str, str], SampleSet] = {}
    probes = find_probes(paths)
    for folder in [*find_records(paths, may_be_none=bool(probes)), *probes]:
        try:
            if (folder / PROBE_FILE).exists():
                read_probe(folder)
            else:
                _verify(folder, data_dir, read)
        except MMBenchError as error:
            yield folder, str(error)
        else:
            yield folder, None


def _verify(
    folder: Path, data_dir: Path | None, read: dict[tuple[str, str, str], SampleSet]
) -> None:
    record = verified(folder)
    read_robustness(folder)
    if PREDICTIONS_FILE in record.files and not (folder / PREDICTIONS_FILE).exists():
        return  # kept without its answers: its statistics give its values, as was checked
    task: Task = registry.load("tasks", record.task)()
    metrics = load_metrics(list(dict.fromkeys(entry.name for entry in record.metrics)))
    if record.weights.source == "elsewhere":
        samples: Sequence[Sample] = samples_in_table(folder)
        answers = RunResult.predictions_in(folder)["prediction"].tolist()
    else:
        here = _is_here(task, record.dataset, data_dir)
        samples = samples_asked(record, task, data_dir, read) if here else samples_in_table(folder)
        stored = stored_answers(folder, task, samples)
        samples, answers = list(compress(samples, stored.mask)), stored.answers
    scores = score_answers(metrics, samples, answers)
    values = {
        (entry.name, entry.signature, entry.category): entry.value for entry in scores.entries
    }
    for entry in record.metrics:
        value = values.get((entry.name, entry.signature, entry.category))
        if value is None:
            raise MMBenchError(f"{entry.signature} is not what {entry.name} is now: not checked")
        if not math.isclose(value, entry.value, rel_tol=1e-6, abs_tol=1e-9):
            of = f" of {entry.category}" if entry.category else ""
            raise MMBenchError(
                f"{entry.name}{of} is {entry.value}, but the stored answers give {value}"
            )


def _is_here(task: Task, dataset: str, data_dir: Path | None) -> bool:
    """Whether a dataset can be read; a file of the user's own, or one to be fetched, cannot."""
    known = dataset in registry.names("datasets")
    return known and is_at_hand(task.dataset(dataset, data_dir))


def samples_in_table(folder: Path) -> list[Sample]:
    """What a record's own table of predictions says of its samples: targets, groups, categories."""
    table = RunResult.predictions_in(folder)
    columns = (table[name].tolist() for name in ("id", "target", "group", "category"))
    return [
        Sample(str(key), {}, target, group, category if isinstance(category, str) else None)
        for key, target, group, category in zip(*columns, strict=True)
    ]


def samples_asked(
    record: Record,
    task: Task,
    data_dir: Path | None = None,
    read: dict[tuple[str, str, str], SampleSet] | None = None,
    dataset: str | None = None,
) -> SampleSet:
    """The samples that a run was asked.

    Args:
        record: the run's.
        task: its task.
        data_dir: the folder of the dataset's files, where they do not come with mmbench.
        read: splits that were read for other records, which this one shares and adds to.
        dataset: the YAML file of a dataset that is not registered.
    Raises: MMBenchError if the dataset cannot be read, or is another than when it was run.
    """
    read = {} if read is None else read
    recipe = validate(Recipe, record.recipe, "recipe")
    found = task.dataset(dataset or record.dataset, data_dir, skip_bad=bool(record.skipped))
    spec = task.adapt(found, recipe)
    key = task.name, spec.model_dump_json(), record.split
    if key not in read:
        read[key] = task.load(spec, record.split)
    if read[key].fingerprint != record.fingerprint:
        raise MMBenchError(f"{spec.name} has other content now than when it was run")
    return read[key].limited(record.limit, task.limit_groups)


@dataclass(frozen=True)
class Stored:
    """The answers that a record keeps.

    Attributes:
        answers: to the samples that were answered, in order.
        mask: (A,), which of the samples these are.
        failures: by place, why a sample has none.
        written: of each sample, what the answer was read off; None where the record has none.
    """

    answers: list[Any]
    mask: BoolArray
    failures: dict[int, str]
    written: list[str | None] | None


def stored_answers(folder: Path, task: Task, samples: Sequence[Sample]) -> Stored:
    """The answers that a record keeps.

    Raises: MMBenchError if they are not of these samples.
    """
    table = RunResult.predictions_in(folder)
    if table["id"].tolist() != [sample.id for sample in samples]:
        raise MMBenchError(
            f"the answers in {folder} are of other samples than the dataset has now: they cannot "
            "be scored again"
        )
    reasons = table[FAILURE].tolist() if FAILURE in table else [None] * len(table)
    failures = {place: why for place, why in enumerate(reasons) if isinstance(why, str)}
    mask = np.array([place not in failures for place in range(len(table))], np.bool_)
    return Stored(
        answers=task.answers(table["prediction"][mask].tolist()),
        mask=mask,
        failures=failures,
        written=table["written"].tolist() if "written" in table else None,
    )
