"""What a reader can rely on: a checklist that is filled in from the records.

Source: the points of the reliability checklist of Fusion or Confusion? Multimodal Complexity Is Not
All You Need, 2025 (arXiv 2512.22991). What no record says is "not recorded", never "yes".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.records.record import Record
from mmbench.reports.beside import Beside
from mmbench.reports.captions import listed
from mmbench.reports.document import Answer
from mmbench.reports.methods import all_runs, training_equal
from mmbench.reports.names import dataset_title, model_title
from mmbench.reports.table import Row, Table

YES, NO, PART, UNKNOWN = "yes", "no", "in part", "not recorded"
_ENOUGH = 3  # seeds: of two, a spread is hardly known
_MEDIA = ("image", "video", "audio", "text")


def checklist(tables: Sequence[Table], tests: int, beside: Beside) -> list[Answer]:
    """Each point with its answer and the numbers that say so.

    Args:
        tables: of the numbers that are shown.
        tests: that Holm's correction is over, summed over the tables.
        beside: what lies beside their records.
    """
    records = [run.record for run in all_runs(tables)]
    return [
        _same_data(tables),
        _same_training(tables),
        _tuning(tables),
        _seeds(tables),
        _references(tables),
        _validation(records),
        _intervals(records),
        Answer(
            "tests, corrected for their number",
            YES if tests else NO,
            f"{tests} paired tests, Holm's correction" if tests else "no two models compared",
        ),
        _missing(tables, beside),
        _cost(records),
        _code(records),
    ]


def _same_data(tables: Sequence[Table]) -> Answer:
    point = "same data and splits for all models"
    others = []
    for table in tables:
        records = [run.record for row in table.rows for run in row.results()]
        kinds = {(r.split, r.fingerprint, r.limit) for r in records}
        fitted = {tuple(sorted(r.identity.fitted_on.items())) for r in records if r.training}
        if len(kinds) > 1 or len(fitted) > 1:
            others.append(dataset_title(table.columns[0].dataset))
    if others:
        return Answer(point, NO, f"not on {listed(others)}: splits or fingerprints differ")
    return Answer(point, YES, f"one fingerprint each of {_count(len(tables), 'dataset')}")


def _same_training(tables: Sequence[Table]) -> Answer:
    point = "same training settings for all models"
    differ = {}
    for table in tables:
        equal, names = training_equal(table)
        if not equal:
            differ[dataset_title(table.columns[0].dataset)] = names
    if not any(row.record.training for table in tables for row in table.rows):
        return Answer(point, UNKNOWN, "nothing was trained")
    if differ:
        return Answer(point, NO, "; ".join(f"{k}: {listed(v)}" for k, v in differ.items()))
    return Answer(point, YES, "epochs, batch, learning rate and schedule are equal on each dataset")


def _tuning(tables: Sequence[Table]) -> Answer:
    """Of the trials that `compare --tune` chose settings by, as each record says."""
    point = "equal tuning budget"
    counts = {
        f"{model_title(record.model)} on {dataset_title(record.dataset)}": (
            record.tuning.trials if record.tuning else 0
        )
        for run in all_runs(tables)
        if (record := run.record).training
    }
    different = sorted(set(counts.values()))
    if not any(different):
        return Answer(point, UNKNOWN, "no record says that trials chose its settings")
    if len(different) == 1:
        found = f"{_count(different[0], 'trial')} on validation data of each model"
        return Answer(point, YES, found)
    trials = listed(f"{name} {number}" for name, number in counts.items())
    return Answer(point, PART if all(different) else NO, f"trials: {trials}")


def _missing(tables: Sequence[Table], beside: Beside) -> Answer:
    point = "missing modalities evaluated"
    joined = [row for table in tables for row in table.rows if len(media_of(row)) > 1]
    missing = [{m for c, m in beside.conditions(row) if c == "missing"} for row in joined]
    asked = [of for of in missing if of]
    if not asked:
        why = "no model was asked without a modality" if joined else "no model joins modalities"
        return Answer(point, UNKNOWN, why)
    media = listed(sorted(set.union(*asked)))
    found = f"{media} missing, of {len(asked)} of {len(joined)} models that join modalities"
    return Answer(point, YES if len(asked) == len(joined) else PART, found)


def _seeds(tables: Sequence[Table]) -> Answer:
    counts = sorted(
        {
            len(cell.values)
            for table in tables
            for row in table.rows
            if row.record.training
            for cell in row.cells.values()
        }
    )
    if not counts:
        return Answer("several seeds", UNKNOWN, "nothing was trained")
    found = _count(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    answer = YES if counts[0] >= _ENOUGH else NO if counts[-1] < _ENOUGH else PART
    return Answer("several seeds", answer, f"{found} a model")


def _references(tables: Sequence[Table]) -> Answer:
    point = "unimodal references"
    present: set[str] = set()
    absent = []
    for table in tables:
        alone = {media[0]: row for row in table.rows if len(media := media_of(row)) == 1}
        joined = {m for row in table.rows if len(media_of(row)) > 1 for m in media_of(row)}
        present |= {model_title(row.model) for row in alone.values()}
        missing = [m for m in _MEDIA if m in joined and m not in alone]
        if missing:
            absent.append(
                f"{dataset_title(table.columns[0].dataset)} has none of {listed(missing)}"
            )
    if not absent:
        answer = YES if present else UNKNOWN
        return Answer(point, answer, listed(sorted(present)) or "no model joins modalities")
    return Answer(point, PART if present else NO, "; ".join(absent))


def media_of(row: Row) -> list[str]:
    """The modalities that a row's model reads; none of a predictor, which does not say."""
    encoders: dict[str, Any] = row.record.recipe.get("encoders") or {}
    if row.record.recipe.get("predictor"):
        return []
    return [medium for medium, part in encoders.items() if part is not None]


def _validation(records: Sequence[Record]) -> Answer:
    point = "epoch chosen on validation data alone"
    trained = [r for r in records if r.training]
    if not trained:
        return Answer(point, UNKNOWN, "nothing was trained")
    apart = [
        r for r in trained if r.training and r.training.validation_fingerprint != r.fingerprint
    ]
    answer = YES if len(apart) == len(trained) else NO
    return Answer(point, answer, f"{len(apart)} of {len(trained)} trainings")


def _intervals(records: Sequence[Record]) -> Answer:
    entries = [entry for r in records for entry in r.metrics if entry.category is None]
    with_one = sum(entry.interval is not None for entry in entries)
    answer = YES if with_one == len(entries) else PART if with_one else NO
    return Answer("intervals", answer, f"of {with_one:,} of {len(entries):,} values")


def _cost(records: Sequence[Record]) -> Answer:
    models = [r for r in records if r.parameters]
    if not models:
        return Answer("cost recorded", UNKNOWN, "no model has parameters")
    whole = [
        r for r in models if r.flops_per_sample and (r.training or r.weights.source != "trained")
    ]
    answer = YES if len(whole) == len(models) else PART
    return Answer(
        "cost recorded",
        answer,
        f"parameters, operations and times of {len(whole)} of {len(models)} runs",
    )


def _code(records: Sequence[Record]) -> Answer:
    commits = sorted({r.environment.git_commit[:8] for r in records if r.environment.git_commit})
    dirty = sum(bool(r.environment.git_dirty) for r in records)
    known = sum(r.environment.git_commit is not None for r in records)
    versions = sorted({r.environment.mmbench for r in records})
    found = f"mmbench {listed(versions)}; commit of {known} of {len(records)} runs"
    found += f" ({listed(commits)})" if commits else ""
    found += f"; {dirty} with changes" if dirty else ""
    answer = YES if known == len(records) and not dirty else PART if known else UNKNOWN
    return Answer("code version", answer, found)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
