"""Scores predictions that were made elsewhere, without a model, and compares two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.data.cells import first_ids
from mmbench.data.image_folder import read_images
from mmbench.data.prediction_files import PredictionFile, in_order, read_prediction_file
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.result import RunResult, predictions_file
from mmbench.experiments.retrieval_files import read_retrieval, usual_metrics
from mmbench.experiments.score import (
    Scores,
    load_metrics,
    per_sample,
    score_answers,
    score_sets,
)
from mmbench.metrics.base import Metric
from mmbench.recipe import digest
from mmbench.records.environment import environment, peak_memory_mb
from mmbench.records.record import Record, Weights
from mmbench.records.store import (
    PREDICTIONS_FILE,
    check_writable,
    read_record,
    record_folder,
    write_record,
)
from mmbench.statistics.bootstrap import group_codes
from mmbench.statistics.holm import holm
from mmbench.statistics.paired import PairedTest, paired_permutation_test

DEFAULT_METRICS = {
    "vqa": ("vqa_accuracy",),
    "captioning": ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l"),
    "retrieval": None,  # the references decide
    "generation": ("fd_efficientnet_lite0", "kid_efficientnet_lite0"),
}

_NO_PAIRS = (
    "two sets of images have no pairs to test: score each against the same real images and compare "
    "the intervals"
)


@dataclass(frozen=True)
class TestedMetric:
    """Two prediction files compared by one metric.

    Attributes:
        metric: which.
        test: values, difference with interval, p-value.
        adjusted: the p-value after Holm's correction over all metrics compared.
    """

    metric: Metric
    test: PairedTest
    adjusted: float


def score(
    task: str,
    predictions: str | Path,
    references: str | Path,
    *,
    questions: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    interval: str = "percentile",
    allow_hub_code: bool = False,
    allow_outside: bool = False,
    out: str | Path = "results",
) -> RunResult:
    """Score a file of predictions and leave a record like a run's.

    Args:
        task: "vqa", "captioning", "retrieval" or "generation".
        predictions: VQA or COCO results (.json), or a table (.jsonl, .parquet); for retrieval see
            `mmbench.experiments.retrieval_files.read_retrieval`; for generation a folder of images
            or a table of their paths.
        references: the annotations, or a table; for retrieval see there; for generation real
            images likewise, or the prompts (.json).
        questions: the official questions (VQA).
        metrics: names; the task's usual ones if None.
        interval: "percentile", or "bca" (bias-corrected and accelerated).
        allow_hub_code: download and run a metric `evaluate:<name>` from the hub.
        allow_outside: read images that a table names outside its own folder.
        out: where the record is kept.
    Raises: MMBenchError for any mistake in these; then nothing is written.
    """
    chosen = _metrics(task, metrics, Path(references), allow_hub_code)
    if task == "generation":
        given, scores = _score_images(
            chosen, Path(predictions), Path(references), interval, allow_outside
        )
    else:
        given = _read(task, Path(predictions), Path(references), questions)
        scores = score_answers(chosen, given.samples, given.answers, interval)
    model = Path(predictions).stem
    run_hash = digest(
        {
            "task": task,
            "fingerprint": given.samples.fingerprint,
            "metrics": [metric.signature for metric in chosen],
            "predictions": given.sha256,
            **({} if interval == "percentile" else {"interval": interval}),
        }
    )
    folder = record_folder(Path(out), task, given.samples.dataset, model, run_hash, 0)
    check_writable(Path(out))
    record = _record(task, model, given, scores, run_hash)
    targets = [sample.target for sample in given.samples]
    table = {"target": targets, "prediction": list(given.answers)}
    content = predictions_file(given.samples, table, scores.statistics)
    record = write_record(folder, record, {PREDICTIONS_FILE: content})
    return RunResult(record, folder, reused=False)


def compare_predictions(
    task: str | None,
    a: str | Path,
    b: str | Path,
    references: str | Path | None = None,
    *,
    questions: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    allow_hub_code: bool = False,
) -> list[TestedMetric]:
    """Paired permutation tests between two prediction files, or the records of two runs.

    Args:
        task, references, questions: as above; not needed for two records.
        a, b: prediction files, or folders of records.
        metrics: names; the task's usual ones, or those of both records, if None.
        allow_hub_code: as above.
    Raises: MMBenchError for any mistake in these, or records of different data.
    """
    if Path(a).is_dir() and Path(b).is_dir():
        first, second, names = _read_records(Path(a), Path(b))
        chosen = load_metrics(metrics or names, allow_hub_code)
    else:
        if task is None or references is None:
            raise MMBenchError(
                "--compare needs --task and --references for prediction files; two folders of "
                "records need neither"
            )
        chosen = _metrics(task, metrics, Path(references), allow_hub_code)
        first, second = (_read(task, Path(p), Path(references), questions) for p in (a, b))
    found = [per_sample(chosen, given.samples, given.answers) for given in (first, second)]
    codes, _ = group_codes([sample.group for sample in first.samples])
    chosen = [m for m in chosen if m.replicates and all(m.name in f for f in found)]
    if not chosen:
        raise MMBenchError("none of these metrics can be tested: they have no value per sample")
    tests = [paired_permutation_test(m, found[0][m.name], found[1][m.name], codes) for m in chosen]
    adjusted = holm([test.p_value for test in tests])
    return [TestedMetric(m, t, float(p)) for m, t, p in zip(chosen, tests, adjusted, strict=True)]


def _metrics(
    task: str, names: Sequence[str] | None, references: Path, allow_hub_code: bool
) -> list[Metric]:
    if task not in DEFAULT_METRICS:
        raise MMBenchError(
            f"cannot score files for task '{task}'.{did_you_mean(task, DEFAULT_METRICS)} "
            f"There is {', '.join(DEFAULT_METRICS)}."
        )
    usual = DEFAULT_METRICS[task]
    if task == "generation" and references.suffix == ".json":
        usual = ("clipscore",)
    return load_metrics(names or usual or usual_metrics(references), allow_hub_code)


def _read(
    task: str, predictions: Path, references: Path, questions: str | Path | None
) -> PredictionFile:
    if task == "generation":
        raise MMBenchError(_NO_PAIRS)
    if task == "retrieval":
        return read_retrieval(predictions, references)
    return read_prediction_file(
        task, predictions, references, Path(questions) if questions else None
    )


def _score_images(
    metrics: Sequence[Metric], generated: Path, real: Path, interval: str, outside: bool
) -> tuple[PredictionFile, Scores]:
    """Two sets of images, which need not be equally many; or images and their prompts."""
    if real.suffix == ".json":
        return _score_prompted(metrics, generated, real, interval, outside)
    ours = read_images(generated, "prediction", outside)
    theirs = read_images(real, "target", outside)
    scores = score_sets(metrics, ours.images, theirs.images, interval)
    # What is kept of an image is its name: its features are too wide for a table.
    samples = [Sample(name, {}, None, name) for name in ours.names]
    split = SampleSet(samples, real.name, "given", theirs.sha256[:16])
    notes = list(dict.fromkeys([*ours.notes, *theirs.notes]))
    given = PredictionFile(split, list(ours.names), ours.sha256, notes)
    return given, replace(scores, statistics={})


def _score_prompted(
    metrics: Sequence[Metric], generated: Path, prompts: Path, interval: str, outside: bool
) -> tuple[PredictionFile, Scores]:
    """Images against what they should show, `{"image": "prompt", ...}`, by name or stem."""
    wanted = read_json(prompts, unique_keys=True)
    if not isinstance(wanted, dict) or not all(isinstance(p, str) for p in wanted.values()):
        raise MMBenchError(f'{prompts} does not hold prompts, {{"image": "prompt", ...}}')
    ours = read_images(generated, "prediction", outside)
    keys = [name if name in wanted else Path(name).stem for name in ours.names]
    images = in_order(list(wanted), list(zip(keys, ours.images, strict=True)), generated, prompts)
    names = in_order(list(wanted), list(zip(keys, ours.names, strict=True)), generated, prompts)
    samples = [Sample(key, {"text": prompt}, prompt, key) for key, prompt in wanted.items()]
    split = SampleSet(samples, prompts.stem, "given", digest(wanted)[:16])
    return PredictionFile(split, names, ours.sha256, ours.notes), score_answers(
        metrics, split, images, interval
    )


def _record(task: str, model: str, given: PredictionFile, scores: Scores, run_hash: str) -> Record:
    samples = given.samples
    return Record(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        task=task,
        dataset=samples.dataset,
        split=samples.split,
        limit=None,
        fingerprint=samples.fingerprint,
        samples=len(samples),
        groups=len({sample.group for sample in samples}),
        model=model,
        recipe={},
        overrides={},
        weights=Weights(source="elsewhere", sha256=given.sha256),
        hash=run_hash,
        seed=0,
        metrics=scores.entries,
        parameters={},
        flops_per_sample=None,
        training=None,
        inference=None,
        peak_memory_mb=peak_memory_mb(),
        environment=environment("cpu", "cpu"),
        notes=[*given.notes, *scores.notes],
        failed=scores.failed,
        files={},
    )


def _read_records(a: Path, b: Path) -> tuple[PredictionFile, PredictionFile, list[str]]:
    """Two records' predictions, in one order, and the metrics that both have."""
    import pandas as pd

    records = [read_record(a), read_record(b)]
    keys: dict[str, Callable[[Record], Any]] = {
        "task": lambda r: r.task,
        "dataset": lambda r: r.dataset,
        "split": lambda r: r.split,
        "fingerprint": lambda r: r.fingerprint,
        "limit": lambda r: r.limit,
    }
    for name, of in keys.items():
        if of(records[0]) != of(records[1]):
            raise MMBenchError(
                f"{a} and {b} may not be compared: their {name} is {of(records[0])} and "
                f"{of(records[1])}"
            )
    frames = [pd.read_parquet(path / PREDICTIONS_FILE).set_index("id") for path in (a, b)]
    odd = frames[0].index.symmetric_difference(frames[1].index)
    if len(odd):
        raise MMBenchError(f"{a} and {b} share not all ids: {first_ids(list(odd))}")
    signatures = [{entry.name: entry.signature for entry in r.metrics} for r in records]
    if records[0].task == "generation":
        raise MMBenchError(_NO_PAIRS)
    names = [n for n, s in signatures[0].items() if signatures[1].get(n) == s]
    if not names:
        raise MMBenchError(f"{a} and {b} have no metric of the same signature")
    given = []
    for frame, record in zip(frames, records, strict=True):
        frame = frame.loc[frames[0].index]
        targets = [list(t) if isinstance(t, np.ndarray) else t for t in frame["target"]]
        samples = [
            Sample(str(i), {}, target, group)
            for i, target, group in zip(frame.index, targets, frame["group"], strict=True)
        ]
        split = SampleSet(samples, record.dataset, record.split, record.fingerprint, record.limit)
        given.append(PredictionFile(split, frame["prediction"].tolist(), record.hash))
    return given[0], given[1], names
