"""Reads predictions made elsewhere, and the references they are held against, in known layouts.

VQA: official results and annotations (visualqa.org); captioning: COCO results and annotations
(cocodataset.org/#format-results); both also as tables, JSONL, Parquet or CSV, with the columns `id`
and `prediction`, and `id`, `target`, and where there are any `group` and `category`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.data.cells import complain, first_ids, ids, labels, lost_characters, targets, texts
from mmbench.data.parquet_files import read_parquet
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import layout, read_csv, read_json, read_json_lines
from mmbench.errors import MMBenchError, brief

TABLES = (".jsonl", ".parquet", ".csv")
Columns = tuple[list[str], list[Any], list[str], list[Any]]


@dataclass(frozen=True)
class FileLayout:
    """JSON files of predictions and of what they are held against, in an official layout.

    Attributes:
        task: that publishes in it, for a hint where a file is of another.
        key, value: of each prediction.
        results, annotations: what the files hold, in words.
        read: the annotations' rows, as columns: ids, targets, groups, categories.
    """

    task: str
    key: str
    value: str
    results: str
    annotations: str
    read: Callable[[list[dict[str, Any]], Path], Columns]


def _read_vqa(rows: list[dict[str, Any]], path: Path) -> Columns:
    return (
        ids((row["question_id"] for row in rows), path),
        [[answer["answer"] for answer in row["answers"]] for row in rows],
        ids((row["image_id"] for row in rows), path),
        [row.get("answer_type") for row in rows],
    )


def _read_coco(rows: list[dict[str, Any]], path: Path) -> Columns:
    captions: dict[str, list[Any]] = {}
    images = ids((row["image_id"] for row in rows), path)
    for image, row in zip(images, rows, strict=True):
        captions.setdefault(image, []).append(row["caption"])
    return list(captions), list(captions.values()), list(captions), [None] * len(captions)


VQA_RESULTS = FileLayout(
    task="vqa",
    key="question_id",
    value="answer",
    results="VQA results, [{question_id, answer}, ...]",
    annotations="VQA annotations, {annotations: [{question_id, image_id, answers: [{answer}]}]}",
    read=_read_vqa,
)
COCO_RESULTS = FileLayout(
    task="captioning",
    key="image_id",
    value="caption",
    results="COCO results, [{image_id, caption}, ...]",
    annotations="COCO annotations, {annotations: [{image_id, caption}]}",
    read=_read_coco,
)


@dataclass(frozen=True)
class PredictionFile:
    """Predictions matched to their references.

    Attributes:
        samples: one per reference; the target is what it is scored against.
        answers: the prediction for each sample.
        sha256: of the file of predictions.
        notes: what a reader of the scores should know.
    """

    samples: SampleSet
    answers: list[Any]
    sha256: str
    notes: Sequence[str] = ()


def read_prediction_file(
    official: FileLayout | None,
    predictions: Path,
    references: Path,
    questions: Path | None = None,
) -> PredictionFile:
    """Read both files and match them by id.

    Args:
        official: how JSON files are laid out; None where only tables are read.
        predictions, references: JSON in the official layout, or a table.
        questions: the official questions (VQA), for the texts and as a check on the references.
    Raises: MMBenchError for a file that cannot be read or is of another layout or task, for empty
        predictions, and for missing, duplicate or unknown ids (how many, the first five).
    """
    samples = _references(official, references)
    names = [sample.id for sample in samples]
    asked = _question_texts(questions) if questions else {}
    if asked:
        complain(sorted(set(names) - set(asked)), "are not among the questions", questions)
        samples = [replace(s, inputs={"text": asked[s.id]}) for s in samples]
    found, given = _predictions(official, predictions)
    answers = in_order(names, list(zip(found, given, strict=True)), predictions, references)
    content = json.dumps([[s.id, s.target, s.group, s.category] for s in samples])
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    return PredictionFile(
        SampleSet(samples, references.stem, "given", fingerprint),
        answers,
        file_hash(predictions),
        [
            *lost_characters("predictions", answers),
            *lost_characters("targets", (sample.target for sample in samples)),
        ],
    )


def read_answers(official: FileLayout | None, predictions: Path, samples: SampleSet) -> list[str]:
    """The predictions for samples that are known, such as a dataset's, by their ids.

    Args:
        official: how JSON files are laid out; None where only tables are read.
        predictions: JSON in the official layout, or a table.
        samples: that they are for.
    Raises: MMBenchError as `read_prediction_file`; where no id is one of the samples', saying what
        those look like.
    """
    found, given = _predictions(official, predictions)
    names = [sample.id for sample in samples]
    where = f"{samples.dataset}, split {samples.split}"
    if found and not set(found) & set(names):
        raise MMBenchError(
            f"{predictions}: none of its ids ({first_ids(found)}) is one of {where} "
            f"({first_ids(names)})"
        )
    return in_order(names, list(zip(found, given, strict=True)), predictions, where)


def in_order(
    ids: Sequence[str],
    found: Sequence[tuple[str, Any]],
    predictions: Path,
    references: Path | str,
) -> list[Any]:
    """The predictions in the order of the references' ids.

    Args:
        ids: of the references.
        found: id and prediction of each prediction.
        predictions, references: where they are from, for errors.
    Raises: MMBenchError for missing, duplicate or unknown ids (how many, the first five).
    """
    if not found:
        raise MMBenchError(f"{predictions} holds no predictions")
    complain(_given_twice([key for key, _ in found]), "have more than one prediction", predictions)
    complain(_given_twice(ids), "have more than one entry", references)
    answers = dict(found)
    complain([i for i in ids if i not in answers], "have no prediction", predictions)
    wanted = set(ids)
    complain([i for i in answers if i not in wanted], f"are unknown to {references}", predictions)
    return [answers[i] for i in ids]


def unique_ids(rows: Sequence[Mapping[str, Any]], path: Path) -> list[str]:
    """The ids of a table's rows, as texts.

    Raises: MMBenchError for what is not an id, and for ids that are given twice.
    """
    names = ids((row["id"] for row in rows), path)
    complain(_given_twice(names), "have more than one row", path)
    return names


def groups(rows: Sequence[Mapping[str, Any]], names: Sequence[str], path: Path) -> list[str]:
    """The group of each row of a table; its id where it has none.

    Raises: MMBenchError for what is not text or number.
    """
    given = labels((row.get("group") for row in rows), names, "group", path)
    return [name if group is None else group for name, group in zip(names, given, strict=True)]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _given_twice(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _predictions(official: FileLayout | None, path: Path) -> tuple[list[str], list[str]]:
    """The ids and the predictions, in the file's order."""
    if path.suffix in TABLES:
        key, value = "id", "prediction"
        rows = read_table(path, (key, value))
    else:
        wanted = _laid_out(official, path)
        key, value = wanted.key, wanted.value
        rows = read_json(path)
        fits = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        bad = [row for row in rows if not {key, value} <= set(row)][:1] if fits else [rows]
        if bad:
            layouts = (VQA_RESULTS, COCO_RESULTS)
            other = [o.task for o in layouts if fits and {o.key, o.value} <= set(rows[0])]
            hint = f" They look like predictions for --task {other[0]}." if other else ""
            raise MMBenchError(f"{path} does not hold {wanted.results}: {brief(bad[0])}.{hint}")
    names = ids((row[key] for row in rows), path)
    return names, texts([row[value] for row in rows], names, "prediction", path)


def _references(official: FileLayout | None, path: Path) -> list[Sample]:
    if path.suffix in TABLES:
        rows = read_table(path, ("id", "target"))
        names = ids((row["id"] for row in rows), path)
        right = [row["target"] for row in rows]
        group = groups(rows, names, path)
        category = [row.get("category") for row in rows]
    else:
        wanted = _laid_out(official, path)
        rows = _rows_at("annotations", path, wanted.annotations)
        with layout(path, wanted.annotations):
            names, right, group, category = wanted.read(rows, path)
    if not names:
        raise MMBenchError(f"{path} holds no references")
    kinds = labels(category, names, "category", path)
    columns = zip(names, targets(right, names, path), group, kinds, strict=True)
    return [Sample(name, {}, target, g, kind) for name, target, g, kind in columns]


def _laid_out(official: FileLayout | None, path: Path) -> FileLayout:
    if official is None:
        raise MMBenchError(f"{path} is not a table: this task reads {', '.join(TABLES)} files")
    return official


def _rows_at(key: str, path: Path, what: str) -> list[dict[str, Any]]:
    """The records that a JSON file holds at a key."""
    value = read_json(path)
    rows = value.get(key) if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MMBenchError(f"{path} is not {what}: it holds {brief(value)}")
    return rows


def _question_texts(path: Path) -> Mapping[str, str]:
    what = "a file of VQA questions, {questions: [{question_id, question}]}"
    rows = _rows_at("questions", path, what)
    with layout(path, what):
        names = ids((row["question_id"] for row in rows), path)
        asked = texts([row["question"] for row in rows], names, "question", path)
    complain(_given_twice(names), "have more than one question", path)
    return dict(zip(names, asked, strict=True))


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a JSONL, Parquet or CSV file; every value of the latter is a text.

    Raises: MMBenchError if it cannot be read, or a row lacks one of these columns.
    """
    read = {".jsonl": read_json_lines, ".parquet": read_parquet, ".csv": read_csv}[path.suffix]
    rows: list[Any] = read(path)
    for number, row in enumerate(rows):
        absent = [name for name in columns if not isinstance(row, dict) or name not in row]
        if absent:
            word = "column" if len(absent) == 1 else "columns"
            raise MMBenchError(
                f"{path}: row {number} lacks the {word} {' and '.join(absent)}: {brief(row)}"
            )
    return rows
