"""Records of earlier versions as this one keeps them.

Those of schema version 1 are scored again from their answers and get an identity; those of version
2 whose statistics lie in a file that is not compressed get one that is. Their predictions are kept
as they are. Where something that an identity holds is not known of a record, such as the source of
someone else's part, it says so, and the record is read and compared but never taken for a run of
today's code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import Splits
from mmbench.experiments.rescore import samples_in_table
from mmbench.experiments.result import RunResult, predictions_file
from mmbench.experiments.score import load_metrics, score_answers
from mmbench.recipe import Recipe
from mmbench.records.arrays_file import packed
from mmbench.records.identity import Identity
from mmbench.records.record import SCHEMA_VERSION, Record, content_digest
from mmbench.records.robustness_file import ROBUSTNESS_FILE
from mmbench.records.store import (
    PREDICTIONS_FILE,
    RUN_FILE,
    STATISTICS_FILE,
    WEIGHTS_FILE,
    find_records,
    read_record,
    read_value,
    rewrite_record,
    write_record,
)
from mmbench.records.verification import verified
from mmbench.task import Task
from mmbench.training import VERSION as TRAINING_VERSION
from mmbench.versions import OWN_PACKAGES, part_version
from mmbench.yaml_file import validate

_UNKNOWN = "unknown"
_UNCOMPRESSED = {  # what was kept as safetensors, and as what it is kept now
    "statistics.safetensors": STATISTICS_FILE,
    "robustness.safetensors": ROBUSTNESS_FILE,
}


def convert_records(
    paths: Sequence[Path], data_dir: Path | None = None
) -> Iterator[tuple[Path, str | None]]:
    """Convert every record of an earlier version at or below the paths.

    Yields: its folder, and why it could not be converted: it then lies there as it was.
    """
    for folder in find_records(paths):
        try:
            value = read_value(folder / RUN_FILE)
            if value.get("schema_version") == 1:
                yield _convert(folder, value, data_dir), None
            elif any((folder / name).exists() for name in _UNCOMPRESSED):
                yield _compress(folder), None
        except (
            MMBenchError,
            OSError,
            SafetensorError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            yield folder, str(error)


def _convert(folder: Path, value: dict[str, Any], data_dir: Path | None) -> Path:
    """Write the record anew, below the hash of its identity; returns its folder."""
    _check_files(folder, value["files"])
    names = list(dict.fromkeys(entry["name"] for entry in value["metrics"]))
    metrics = load_metrics(names)
    elsewhere = value["weights"]["source"] == "elsewhere"
    task: Task = registry.load("tasks", value["task"])()
    samples, identity = _of_files(folder, value) if elsewhere else _of_run(task, value, data_dir)
    column = RunResult.predictions_in(folder)["prediction"].tolist()
    answers = list(column) if elsewhere else task.answers(column)
    scores = score_answers(metrics, samples, answers)
    _check_values(folder, value["metrics"], {(e.name, e.category): e.value for e in scores.entries})
    names = [n for n in value["files"] if (folder / n).exists() or n != WEIGHTS_FILE]
    files = {name: (folder / name).read_bytes() for name in names}
    table = task.table(samples, answers)
    if elsewhere:
        table = {"target": [s.target for s in samples], "prediction": answers}
    files[PREDICTIONS_FILE] = predictions_file(samples, table, scores.statistics)
    files[STATISTICS_FILE] = scores.kept(samples).to_bytes()
    rest = {k: v for k, v in value.items() if k not in ("hash", "schema_version", "metrics")}
    record = Record.model_validate(
        rest
        | {
            "schema_version": SCHEMA_VERSION,
            "identity": identity.model_dump(),
            "metrics": [entry.model_dump() for entry in scores.entries],
            "failed": scores.failed,
            "flops_per_sample": None if elsewhere else _operations(task, value, data_dir),
            "files": {},
        }
    )
    place = folder.parent.parent / record.hash[:8] / folder.name
    write_record(place, record, files)
    if place != folder:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    return place


def _compress(folder: Path) -> Path:
    """Write the record anew with its arrays compressed; nothing else of it changes."""
    record = read_record(folder)
    if record.content != content_digest(read_value(folder / RUN_FILE)):
        raise MMBenchError(f"{folder / RUN_FILE} was changed after the run")
    _check_files(folder, record.files)
    for name, compressed in _UNCOMPRESSED.items():
        if not (folder / name).exists():
            continue
        with safe_open(folder / name, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["mmbench"])
            content = packed({key: file.get_tensor(key) for key in file.keys()}, about)  # noqa: SIM118
        if name in record.files:
            record = rewrite_record(folder, record, {compressed: content}, [name])
        else:
            (folder / compressed).write_bytes(content)
            (folder / name).unlink()
    verified(folder)
    return folder


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        file = folder / name
        if name == WEIGHTS_FILE and not file.exists():
            continue
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise MMBenchError(f"{file} was changed after the run: its hash is not the record's")


def _check_values(
    folder: Path, entries: Sequence[Mapping[str, Any]], found: Mapping[Any, float]
) -> None:
    """Every value against the one that its answers give now."""
    for entry in entries:
        value = found.get((entry["name"], entry["category"]))
        if value is None or abs(value - entry["value"]) > 1e-6 * max(1.0, abs(value)):
            raise MMBenchError(
                f"{folder / RUN_FILE}: {entry['name']} is {entry['value']}, but its answers give "
                f"{value}"
            )


def _of_run(
    task: Task, value: Mapping[str, Any], data_dir: Path | None
) -> tuple[SampleSet, Identity]:
    """The samples that a run was asked, and its identity as far as it is known."""
    recipe = validate(Recipe, value["recipe"], "recipe")
    spec: DatasetSpec = task.adapt(task.dataset(value["dataset"], data_dir), recipe)
    splits = Splits(task, spec)
    whole = splits.samples(value["split"])
    if whole.fingerprint != value["fingerprint"]:
        raise MMBenchError(f"{spec.name} has other content now than when it was run")
    training = value["training"]
    trained = training is not None
    fitted_on = {}
    if training:
        fitted_on = {name: training[f"{name}_fingerprint"] for name in ("train", "validation")}
    elif recipe.predictor:
        fitted_on = {"train": splits.facts("train").fingerprint}
    parts = {f"tasks:{task.name}": _version("tasks", task.name)}
    parts |= {f"{k}:{p.name}": _version(k, p.name) for k, p in recipe.parts().values()}
    if trained:
        parts["training"] = TRAINING_VERSION
    first = value["metrics"][0]["signature"]
    return whole.limited(value["limit"], task.limit_groups), Identity(
        task=task.name,
        dataset=spec.name,
        split=value["split"],
        limit=value["limit"],
        fingerprint=value["fingerprint"],
        data={
            key: found
            for key, found in (("options", spec.options), ("categories", spec.categories))
            if found
        },
        settings=recipe.deciding(trained),
        parts=parts,
        weights=value["weights"]["sha256"] or value["weights"]["source"],
        fitted_on=fitted_on,
        chosen_by=(first if task.chosen_by == "metric" else "loss") if trained else None,
        device=value["environment"]["device"].partition(":")[0] if trained else None,
    )


def _operations(task: Task, value: Mapping[str, Any], data_dir: Path | None) -> int | None:
    """Counted anew: those of version 1 lack what is done after all are answered (re-ranking)."""
    recipe = validate(Recipe, value["recipe"], "recipe")
    if recipe.predictor:
        return None
    import torch

    from mmbench.experiments.infer import flops_per_sample

    spec = task.adapt(task.dataset(value["dataset"], data_dir), recipe)
    splits = Splits(task, spec)
    model = task.build(recipe, task.assets(splits.samples("train")))
    queries = splits.samples(value["split"]).queries
    model.prepare(queries)
    return flops_per_sample(model, queries, torch.device("cpu"))


def _version(kind: str, name: str) -> int | str:
    """Of mmbench's own part its version; of another's it is not known what its source was."""
    own = registry.location(kind, name)[0].partition(".")[0] in OWN_PACKAGES
    return part_version(kind, name) if own else _UNKNOWN


def _of_files(folder: Path, value: Mapping[str, Any]) -> tuple[SampleSet, Identity]:
    """The samples and identity of predictions from elsewhere, which the record itself holds."""
    samples = samples_in_table(folder)
    split = SampleSet(samples, value["dataset"], value["split"], value["fingerprint"])
    return split, Identity(
        task=value["task"],
        dataset=value["dataset"],
        split=value["split"],
        fingerprint=value["fingerprint"],
        weights="elsewhere",
        predictions=value["weights"]["sha256"],
    )
