"""Scores predictions that were made elsewhere, without a model, and compares two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from mmbench import registry
from mmbench.data.image_folder import read_images
from mmbench.data.prediction_files import PredictionFile, in_order
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import check_mixture
from mmbench.experiments.measured_runs import measured_runs, same_samples
from mmbench.experiments.result import RunResult, load_run, predictions_file
from mmbench.experiments.score import (
    Scores,
    load_metrics,
    per_sample,
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
from mmbench.statistics.bootstrap import group_codes
from mmbench.statistics.family import Family, compare_models
from mmbench.statistics.measured import Measured, measure
from mmbench.task import Task

_NO_PAIRS = (
    "two sets of images have no pairs to test: score each against the same real images and compare "
    "the intervals"
)


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
            `mmbench_tasks.retrieval.files.read_retrieval`; for generation a folder of images or a
            table of their paths.
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
    memory = PeakMemory()
    chosen = _metrics(task, metrics, Path(references), allow_hub_code)
    if _draws_images(task):
        given, scores = _score_images(
            chosen, Path(predictions), Path(references), interval, allow_outside
        )
    else:
        given = _read(task, Path(predictions), Path(references), questions)
        scores = score_answers(chosen, given.samples, given.answers, interval)
    model = Path(predictions).stem
    record = _record(task, model, given, scores, memory)
    folder = record_folder(
        Path(out), task, record.dataset, model, record.identity.hash, record.seed
    )
    check_writable(Path(out))
    if folder.exists():
        scores = _with_earlier(scores, folder)
        record = _record(task, model, given, scores, memory)
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


def compare_predictions(
    task: str | None,
    a: str | Path,
    b: str | Path,
    references: str | Path | None = None,
    *,
    questions: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    allow_hub_code: bool = False,
    allow_mixed: bool = False,
) -> Family:
    """Two prediction files, or the records of two runs, compared by every metric of both.

    Args:
        task, references, questions: as above; not needed for two records.
        a, b: prediction files, or folders of records.
        metrics: names; the task's usual ones, or those of both records, if None.
        allow_hub_code: as above.
        allow_mixed: compare runs of different kinds of device, or of versions of one part.
    Returns: a pair for each metric, "A" and "B", with Holm's correction over the metrics.
    Raises: MMBenchError for any mistake in these, or records of different data.
    """
    if Path(a).is_dir() and Path(b).is_dir():
        return compare_models(_measured_records(Path(a), Path(b), metrics, allow_mixed))
    if task is None or references is None:
        raise MMBenchError(
            "--compare needs --task and --references for prediction files; two folders of "
            "records need neither"
        )
    chosen = _metrics(task, metrics, Path(references), allow_hub_code)
    given = [_read(task, Path(p), Path(references), questions) for p in (a, b)]
    found = [per_sample(chosen, each.samples, each.answers) for each in given]
    codes, _ = group_codes([sample.group for sample in given[0].samples])
    tested = [m for m in chosen if m.replicates and all(m.name in f for f in found)]
    if not tested:
        raise MMBenchError("none of these metrics can be tested: they have no value per sample")
    return compare_models(
        [
            measure(name, metric, {0: statistics[metric.name]}, codes)
            for metric in tested
            for name, statistics in zip(("A", "B"), found, strict=True)
        ]
    )


def _measured_records(
    a: Path, b: Path, names: Sequence[str] | None, allow_mixed: bool
) -> list[Measured]:
    """Two records by every metric that both have, from what they keep per sample."""
    runs = {"A": load_run(a), "B": load_run(b)}
    first, second = (run.record for run in runs.values())
    for key in ("task", "dataset", "split", "fingerprint", "limit"):
        if getattr(first, key) != getattr(second, key):
            raise MMBenchError(
                f"{a} and {b} may not be compared: their {key} is {getattr(first, key)} and "
                f"{getattr(second, key)}"
            )
    if _draws_images(first.task) and "elsewhere" in (first.weights.source, second.weights.source):
        raise MMBenchError(_NO_PAIRS)
    check_mixture([first, second], allow_mixed)
    signatures = [{e.name: e.signature for e in r.metrics if e.interval} for r in (first, second)]
    both = [n for n, s in signatures[0].items() if signatures[1].get(n) == s]
    missing = [name for name in names or () if name not in both]
    if missing or not both:
        raise MMBenchError(
            f"{a} and {b} do not both have {missing[0]} by one signature, with a value per sample"
            if missing
            else f"{a} and {b} have no metric of the same signature, with a value per sample"
        )
    kept = {name: run.statistics() for name, run in runs.items()}
    same_samples({name: {0: statistics} for name, statistics in kept.items()})
    return [
        measured_runs(name, metric, {0: run}, kept={0: kept[name]})
        for metric in load_metrics([n for n in both if names is None or n in names])
        for name, run in runs.items()
    ]


def _metrics(
    task: str, names: Sequence[str] | None, references: Path, allow_hub_code: bool
) -> list[Metric]:
    return load_metrics(names or _task(task).file_metrics(references), allow_hub_code)


def _task(name: str) -> Task:
    task: Task = registry.load("tasks", name)()
    return task


def _read(
    task: str, predictions: Path, references: Path, questions: str | Path | None
) -> PredictionFile:
    if _draws_images(task):
        raise MMBenchError(_NO_PAIRS)
    return _task(task).read_files(predictions, references, Path(questions) if questions else None)


def _draws_images(task: str) -> bool:
    """Whether its answers are images, which are scored as a set."""
    return _task(task).answer_kind == "images"


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
    task: str, model: str, given: PredictionFile, scores: Scores, memory: PeakMemory
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
        failed=scores.failed,
        files={},
    )
