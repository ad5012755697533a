"""Reads predictions made elsewhere, and the references they are held against, in known layouts.

VQA: official results and annotations (visualqa.org); captioning: COCO results and annotations
(cocodataset.org/#format-results); both also as tables, JSONL or Parquet, with the columns `id` and
`prediction`, and `id`, `target`, and where there are any `group` and `category`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import read_json, read_text
from mmbench.errors import MMBenchError

TABLES = (".jsonl", ".parquet")
_LAYOUTS = {
    "vqa": ("question_id", "answer", "VQA results, [{question_id, answer}, ...]"),
    "captioning": ("image_id", "caption", "COCO results, [{image_id, caption}, ...]"),
}
FILE_TASKS = tuple(_LAYOUTS)


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
    task: str, predictions: Path, references: Path, questions: Path | None = None
) -> PredictionFile:
    """Read both files and match them by id.

    Args:
        task: "vqa" or "captioning".
        predictions, references: JSON in the official layout, or a table.
        questions: the official questions (VQA), for the texts and as a check on the references.
    Raises: MMBenchError for a file that cannot be read or is of another layout or task, for empty
        predictions, and for missing, duplicate or unknown ids (how many, the first five).
    """
    samples = _references(task, references)
    texts = _question_texts(questions) if questions else {}
    if texts:
        known = {sample.id for sample in samples}
        _complain(sorted(known - set(texts)), "are not among the questions", str(questions))
        samples = [
            Sample(s.id, {"text": texts[s.id]}, s.target, s.group, s.category) for s in samples
        ]
    found = _predictions(task, predictions)
    odd = [key for key, answer in found if not isinstance(answer, str)]
    _complain(odd, "have a prediction that is not a text", str(predictions))
    content = json.dumps([[s.id, s.target, s.group, s.category] for s in samples])
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    return PredictionFile(
        SampleSet(samples, references.stem, "given", fingerprint),
        in_order([s.id for s in samples], found, predictions, references),
        file_hash(predictions),
    )


def in_order(
    ids: Sequence[str], found: Sequence[tuple[str, Any]], predictions: Path, references: Path
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
    twice = [key for key, times in Counter(key for key, _ in found).items() if times > 1]
    _complain(twice, "have more than one prediction", str(predictions))
    twice = [key for key, times in Counter(ids).items() if times > 1]
    _complain(twice, "have more than one entry", str(references))
    answers = dict(found)
    _complain([i for i in ids if i not in answers], "have no prediction", str(predictions))
    wanted = set(ids)
    _complain(
        [i for i in answers if i not in wanted], f"are unknown to {references}", str(predictions)
    )
    return [answers[i] for i in ids]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def first_ids(ids: Sequence[Any]) -> str:
    """The first five, for a message."""
    return ", ".join(str(i) for i in ids[:5]) + (", ..." if len(ids) > 5 else "")


def _complain(ids: Sequence[str], what: str, where: str) -> None:
    if ids:
        raise MMBenchError(f"{where}: {len(ids):,} ids {what}: {first_ids(ids)}")


def _predictions(task: str, path: Path) -> list[tuple[str, Any]]:
    if path.suffix in TABLES:
        rows = read_table(path, ("id", "prediction"))
        found = [(str(row["id"]), row["prediction"]) for row in rows]
    else:
        key, value, layout = _LAYOUTS[task]
        rows = read_json(path)
        fits = isinstance(rows, list) and all(isinstance(r, dict) for r in rows)
        bad = next((r for r in rows if not {key, value} <= set(r)), None) if fits else rows
        if bad is not None:
            other = [t for t, (k, v, _) in _LAYOUTS.items() if fits and {k, v} <= set(rows[0])]
            hint = f" They look like predictions for --task {other[0]}." if other else ""
            raise MMBenchError(f"{path} does not hold {layout}: {str(bad)[:80]}.{hint}")
        found = [(str(row[key]), row[value]) for row in rows]
    return found


def _references(task: str, path: Path) -> list[Sample]:
    if path.suffix in TABLES:
        rows = read_table(path, ("id", "target"))
        samples = [
            Sample(
                str(row["id"]),
                {},
                row["target"],
                str(row["id"] if row.get("group") is None else row["group"]),
                row.get("category"),
            )
            for row in rows
        ]
    else:
        reader: Callable[[Any], list[Sample]] = _vqa if task == "vqa" else _coco
        try:
            samples = reader(read_json(path))
        except (LookupError, TypeError, AttributeError) as error:
            raise MMBenchError(
                f"{path} is not an annotation file of {task} in the official layout: "
                f"{type(error).__name__} {error}"
            ) from None
    if not samples:
        raise MMBenchError(f"{path} holds no references")
    return samples


def _vqa(value: Any) -> list[Sample]:
    return [
        Sample(
            str(row["question_id"]),
            {},
            [answer["answer"] for answer in row["answers"]],
            str(row["image_id"]),
            row.get("answer_type"),
        )
        for row in value["annotations"]
    ]


def _coco(value: Any) -> list[Sample]:
    captions: dict[str, list[str]] = {}
    for row in value["annotations"]:
        captions.setdefault(str(row["image_id"]), []).append(row["caption"])
    return [Sample(image, {}, texts, image) for image, texts in captions.items()]


def _question_texts(path: Path) -> Mapping[str, str]:
    try:
        return {str(q["question_id"]): q["question"] for q in read_json(path)["questions"]}
    except (LookupError, TypeError) as error:
        raise MMBenchError(
            f"{path} is not a file of VQA questions, {{questions: [...]}}: {error}"
        ) from None


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a JSONL or Parquet file.

    Raises: MMBenchError if it cannot be read, or a row lacks one of these columns.
    """
    if path.suffix == ".jsonl":
        lines = read_text(path).splitlines()
        try:
            rows = [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise MMBenchError(f"{path} is not JSON, one value a line: {error}") from None
    else:
        import pyarrow
        import pyarrow.parquet

        try:
            rows = pyarrow.parquet.read_table(path).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise MMBenchError(f"cannot read {path} as Parquet: {error}") from None
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not set(columns) <= set(row):
            raise MMBenchError(
                f"{path}: row {number} has not the columns {' and '.join(columns)}: {str(row)[:80]}"
            )
    return rows
