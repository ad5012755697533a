"""Scores predictions that were made elsewhere, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.data.image_folder import read_images
from mmbench.data.prediction_files import PredictionFile, in_order
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError
from mmbench.experiments.answered_dataset import asked_dataset
from mmbench.experiments.result import RunResult, load_run, predictions_file
from mmbench.experiments.score import (
    Scores,
    load_metrics,
    score_answers,
    score_sets,
)
from mmbench.metrics.base import Metric
from mmbench.recipe import digest
from mmbench.records.environment import PeakMemory, environment
from mmbench.records.identity import Identity
from mmbench.records.record import Record, Weights
from mmbench.records.store import (
    PREDICTIONS_FILE,
    STATISTICS_FILE,
    check_writable,
    record_folder,
    write_record,
)
from mmbench.task import Task


def score(
    task: str | None,
    predictions: str | Path,
    references: str | Path | None = None,
    *,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    name: str | None = None,
    questions: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    interval: str = "percentile",
    allow_hub_code: bool = False,
    allow_outside: bool = False,
    out: str | Path = "results",
) -> RunResult:
    """Score a file of predictions and leave a record like a run's.

    They are held against a file of references, or against a dataset: then the record stands in
    one column with those of runs on it.

    Args:
        task: "vqa", "captioning", "retrieval" or "generation". May be None with a dataset that
            belongs to one task alone.
        predictions: VQA or COCO results (.json), or a table (.jsonl, .parquet); for retrieval see
            `mmbench_tasks.retrieval.files.read_retrieval`, with a dataset
            `read_retrieval_answers`; for generation a folder of images or a table of their paths.
        references: the annotations, or a table; for retrieval see there; for generation real
            images likewise, or the prompts (.json).
        dataset: registered, or the path of its YAML file, in place of references.
        split: of it; the one that runs are scored on if None.
        data_dir: the folder of its files, where they do not come with mmbench.
        skip_bad: leave out its samples that cannot be read.
        name: what the predictions are called in tables; their file's name if None.
        questions: the official questions (VQA).
        metrics: names; the usual ones of the dataset or task if None.
        interval: "percentile", or "bca" (bias-corrected and accelerated).
        allow_hub_code: download and run a metric `evaluate:<name>` from the hub.
        allow_outside: read images that a table names outside its own folder.
        out: where the record is kept.
    Raises: MMBenchError for any mistake in these; then nothing is written.
    """
    memory = PeakMemory()
    if name is not None and not name.strip():
        raise MMBenchError("--name is empty: leave it out to call them by their file")
    identity: dict[str, Any] = {}
    skipped: dict[str, int] = {}
    if dataset is not None:
        if references is not None or questions is not None:
            raise MMBenchError(
                "a --dataset brings its own right answers: leave out --references and --questions, "
                "or --dataset"
            )
        asked = asked_dataset(task, dataset, split, data_dir, skip_bad)
        task, identity = asked.task.name, asked.identity
        chosen = load_metrics(metrics or asked.metrics, allow_hub_code)
        given = asked.answered(Path(predictions))
        skipped = {asked.samples.split: n} if (n := len(asked.samples.skipped)) else {}
        scores = score_answers(chosen, given.samples, given.answers, interval)
    elif task is None or references is None:
        raise MMBenchError(
            "needs --dataset, or --task and --references, to hold the predictions against"
        )
    elif split is not None or data_dir is not None or skip_bad:
        raise MMBenchError("--split, --data-dir and --skip-bad are of a --dataset: name one")
    else:
        if draws_images(task):
            chosen = metrics_of_files(task, metrics, Path(references), (), allow_hub_code)
            given, scores = _score_images(
                chosen, Path(predictions), Path(references), interval, allow_outside
            )
        else:
            given = read_files(task, Path(predictions), Path(references), questions)
            targets = [sample.target for sample in given.samples]
            chosen = metrics_of_files(task, metrics, Path(references), targets, allow_hub_code)
            scores = score_answers(chosen, given.samples, given.answers, interval)
    model = name or Path(predictions).stem
    record = _record(task, model, given, scores, memory, identity, skipped)
    folder = record_folder(
        Path(out), task, record.dataset, model, record.identity.hash, record.seed
    )
    check_writable(Path(out))
    if folder.exists():
        scores = _with_earlier(scores, folder)
        record = _record(task, model, given, scores, memory, identity, skipped)
    targets = [sample.target for sample in given.samples]
    table = {"target": targets, "prediction": list(given.answers)}
    files = {
        PREDICTIONS_FILE: predictions_file(given.samples, table, scores.statistics),
        STATISTICS_FILE: scores.kept(given.samples).to_bytes(),
    }
    record = write_record(folder, record, files)
    return RunResult(record, folder, reused=False)


def _with_earlier(scores: Scores, folder: Path) -> Scores:
    """The scores, and after them those that a record of the same predictions has by other metrics.

    An earlier record that is damaged is replaced.
    """
    try:
        earlier = load_run(folder)
        kept = earlier.statistics()
    except MMBenchError:
        return scores
    new = {entry.name for entry in scores.entries} | set(scores.failed)
    entries = [entry for entry in earlier.record.metrics if entry.name not in new]
    names = {entry.name for entry in entries}
    return replace(
        scores,
        entries=[*scores.entries, *entries],
        statistics=scores.statistics | {n: v for n, v in kept.by_metric.items() if n in names},
        replicates=scores.replicates | {n: v for n, v in kept.replicates.items() if n in names},
        notes=list(dict.fromkeys([*scores.notes, *earlier.record.notes]))
        if names
        else scores.notes,
    )


def metrics_of_files(
    task: str,
    names: Sequence[str] | None,
    references: Path,
    targets: Sequence[Any],
    allow_hub_code: bool,
) -> list[Metric]:
    """The metrics of these names, or those that such right answers are usually scored by."""
    usual = names or task_called(task).file_metrics(references, targets)
    return load_metrics(usual, allow_hub_code)


def task_called(name: str) -> Task:
    """A registered task."""
    task: Task = registry.load("tasks", name)()
    return task


def read_files(
    task: str, predictions: Path, references: Path, questions: str | Path | None
) -> PredictionFile:
    """Predictions of a task, matched to their references."""
    asked = Path(questions) if questions else None
    return task_called(task).read_files(predictions, references, asked)


def draws_images(task: str) -> bool:
    """Whether its answers are images, which are scored as a set."""
    return task_called(task).answer_kind == "images"


def _score_images(
    metrics: Sequence[Metric], generated: Path, real: Path, interval: str, outside: bool
) -> tuple[PredictionFile, Scores]:
    """Two sets of images, which need not be equally many; or images and their prompts."""
    if real.suffix == ".json":
        return _score_prompted(metrics, generated, real, interval, outside)
    ours = read_images(generated, "prediction", outside)
    theirs = read_images(real, "target", outside)
    scores = score_sets(metrics, ours.images, theirs.images, interval)
    samples = [Sample(name, {}, None, name) for name in ours.names]
    split = SampleSet(samples, real.name, "given", theirs.sha256[:16])
    notes = list(dict.fromkeys([*ours.notes, *theirs.notes]))
    return PredictionFile(split, list(ours.names), ours.sha256, notes), scores


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


def _record(
    task: str,
    model: str,
    given: PredictionFile,
    scores: Scores,
    memory: PeakMemory,
    identity: Mapping[str, Any],
    skipped: dict[str, int],
) -> Record:
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
        identity=Identity(
            task=task,
            dataset=samples.dataset,
            split=samples.split,
            fingerprint=samples.fingerprint,
            weights="elsewhere",
            predictions=given.sha256,
            **identity,
        ),
        seed=0,
        metrics=scores.entries,
        parameters={},
        flops_per_sample=None,
        training=None,
        inference=None,
        peak_memory_mb=memory.resident_mb(),
        environment=environment("cpu", "cpu"),
        notes=[*given.notes, *scores.notes],
        skipped=skipped,
        failed=scores.failed,
        files={},
    )
