"""Two systems compared in pairs: files of predictions from elsewhere, records of runs, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

from mmbench.data.prediction_files import PredictionFile
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.answered_dataset import answered, asked_dataset
from mmbench.experiments.conditions import check_mixture
from mmbench.experiments.failures import check_failed, failure_notes
from mmbench.experiments.measured_runs import answered_words, measured_runs, on_same_samples
from mmbench.experiments.rescore import samples_asked, samples_in_table
from mmbench.experiments.result import RunResult, load_run
from mmbench.experiments.score import load_metrics, per_sample
from mmbench.experiments.score_files import draws_images, metrics_of_files, read_files, task_called
from mmbench.metrics.base import Metric
from mmbench.records.record import Record
from mmbench.records.statistics_file import answered_by_all
from mmbench.records.store import RUN_FILE
from mmbench.statistics.bootstrap import group_codes
from mmbench.statistics.family import Family, compare_models
from mmbench.statistics.measured import Measured, measure

NO_PAIRS = (
    "two sets of images have no pairs to test: score each against the same real images and compare "
    "the intervals"
)


def compare_predictions(
    task: str | None,
    a: str | Path,
    b: str | Path,
    references: str | Path | None = None,
    *,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    questions: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    allow_hub_code: bool = False,
    allow_mixed: bool = False,
    allow_failed: bool = False,
) -> Family:
    """Two systems compared by every metric of both: prediction files, or the records of runs.

    A file beside a record is held against what the record's run was asked. Two files need
    references, or a dataset.

    Args:
        task: of the files; not needed where one side is a record.
        a, b: prediction files, or folders of records.
        references, questions: as `score` takes them.
        dataset, split, data_dir, skip_bad: what two files are predictions for, in place of
            references; as `score` takes them. Beside a record of a retrieval run, where its data
            are, if they do not come with mmbench.
        metrics: names; the task's usual ones, or those of the records, if None.
        allow_hub_code: download and run a metric `evaluate:<name>` from the hub.
        allow_mixed: compare runs of different kinds of device, or of versions of one part.
        allow_failed: compare records of which more than 1% of the queries failed.
    Returns: a pair for each metric, "A" and "B", with Holm's correction over the metrics.
    Raises: MMBenchError for any mistake in these, or records of different data.
    """
    sides = {"A": Path(a), "B": Path(b)}
    records = {name for name, path in sides.items() if path.is_dir() and _is_record(path)}
    if len(records) == 2 or (sides["A"].is_dir() and sides["B"].is_dir() and task is None):
        runs = {name: load_run(path) for name, path in sides.items()}
        family = compare_models(_measured_records(runs, metrics, allow_mixed))
        return replace(family, notes=_of_failures(runs, allow_failed))
    if records:
        called = next(iter(records))
        run = load_run(sides[called])
        notes = _of_failures({called: run}, allow_failed)
        file = next(path for name, path in sides.items() if name not in records)
        names = ("A", "B") if "A" in records else ("B", "A")
        family = compare_models(_beside_record(run, file, names, metrics, dataset, data_dir))
        return replace(family, notes=notes)
    if dataset is not None and references is None:
        asked = asked_dataset(task, dataset, split, data_dir, skip_bad)
        chosen = load_metrics(metrics or asked.metrics, allow_hub_code)
        given = [asked.answered(path) for path in sides.values()]
    elif task is None or references is None:
        raise MMBenchError(
            "two prediction files are compared by --dataset, or by --task and --references; "
            "where one or both are folders of records, by none of these"
        )
    else:
        if draws_images(task):
            raise MMBenchError(NO_PAIRS)
        given = [read_files(task, p, Path(references), questions) for p in sides.values()]
        targets = [sample.target for sample in given[0].samples]
        chosen = metrics_of_files(task, metrics, Path(references), targets, allow_hub_code)
    return compare_models(_measured_files(given, chosen))


def _is_record(folder: Path) -> bool:
    return (folder / RUN_FILE).is_file()


def _measured_files(given: Sequence[PredictionFile], metrics: Sequence[Metric]) -> list[Measured]:
    found = [per_sample(metrics, each.samples, each.answers) for each in given]
    codes, _ = group_codes([sample.group for sample in given[0].samples])
    tested = [m for m in metrics if m.replicates and all(m.name in f for f in found)]
    if not tested:
        raise MMBenchError("none of these metrics can be tested: they have no value per sample")
    return [
        measure(name, metric, {0: statistics[metric.name]}, codes)
        for metric in tested
        for name, statistics in zip(("A", "B"), found, strict=True)
    ]


def _beside_record(
    run: RunResult,
    file: Path,
    called: tuple[str, str],
    names: Sequence[str] | None,
    dataset: str | None,
    data_dir: str | Path | None,
) -> list[Measured]:
    """A record and a file of predictions, called so, by every metric of the record."""
    record = run.record
    if draws_images(record.task):
        raise MMBenchError(NO_PAIRS)
    task = task_called(record.task)
    samples: Sequence[Sample]
    if task.answer_kind == "text":
        samples = samples_in_table(run.path)
    else:
        folder = Path(data_dir) if data_dir is not None else None
        samples = samples_asked(record, task, folder, dataset=dataset)
    of_run = SampleSet(samples, record.dataset, record.split, record.fingerprint)
    given = answered(task, of_run, file)
    metrics = load_metrics(_chosen([record], [run.path], names))
    kept = {0: run.statistics()}
    answers = list(given.answers)
    if (answered_there := kept[0].answered) is not None:
        samples = list(compress(samples, answered_there))
        answers = list(compress(answers, answered_there))
    found = per_sample(metrics, samples, answers)
    codes, _ = group_codes([sample.group for sample in samples])
    return [
        measured
        for metric in metrics
        if metric.name in found
        for measured in (
            measured_runs(called[0], metric, {0: run}, kept=kept),
            measure(called[1], metric, {0: found[metric.name]}, codes),
        )
    ]


def _of_failures(runs: Mapping[str, RunResult], allowed: bool) -> tuple[str, ...]:
    """What a reader must know where queries of records, called so, failed.

    Raises: MMBenchError where too many did, unless that is allowed.
    """
    for run in runs.values():
        check_failed(run.record, run.path, allowed)
    over = answered_words(answered_by_all(run.statistics() for run in runs.values()))
    return tuple(filter(None, [over, *failure_notes(run.record for run in runs.values())]))


def _measured_records(
    runs: Mapping[str, RunResult], names: Sequence[str] | None, allow_mixed: bool
) -> list[Measured]:
    """Two records by every metric that both have, from what they keep per sample."""
    a, b = (run.path for run in runs.values())
    first, second = (run.record for run in runs.values())
    for key in ("task", "dataset", "split", "fingerprint", "limit"):
        if getattr(first, key) != getattr(second, key):
            raise MMBenchError(
                f"{a} and {b} may not be compared: their {key} is {getattr(first, key)} and "
                f"{getattr(second, key)}"
            )
    if draws_images(first.task) and "elsewhere" in (first.weights.source, second.weights.source):
        raise MMBenchError(NO_PAIRS)
    check_mixture([first, second], allow_mixed)
    both = _chosen([first, second], [a, b], names)
    kept = on_same_samples({name: {0: run.statistics()} for name, run in runs.items()})
    return [
        measured_runs(name, metric, {0: run}, kept=kept[name])
        for metric in load_metrics(both)
        for name, run in runs.items()
    ]


def _chosen(
    records: Sequence[Record], paths: Sequence[Path], names: Sequence[str] | None
) -> list[str]:
    """The metrics that all records have by one signature, with a value per sample.

    Raises: MMBenchError if there is none, or one that is named is not among them.
    """
    signatures = [{e.name: e.signature for e in r.metrics if e.interval} for r in records]
    common = [n for n, s in signatures[0].items() if all(o.get(n) == s for o in signatures)]
    missing = [name for name in names or () if name not in common]
    if missing or not common:
        where = " and ".join(map(str, paths))
        lacks = missing[0] if missing else "any metric"
        have = "do not both have" if len(records) > 1 else "does not have"
        raise MMBenchError(f"{where} {have} {lacks} by one signature, with a value per sample")
    return [name for name in common if names is None or name in names]
