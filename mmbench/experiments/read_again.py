"""A record whose answers are read again off what its model wrote, without the model."""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.rescore import samples_asked, stored_answers
from mmbench.experiments.result import RunResult, predictions_file
from mmbench.experiments.score import load_metrics, score_answers
from mmbench.prompts import Prompt
from mmbench.records.record import Record
from mmbench.records.store import (
    PREDICTIONS_FILE,
    STATISTICS_FILE,
    find_records,
    record_folder,
    write_record,
)
from mmbench.records.verification import verified
from mmbench.task import Task
from mmbench.yaml_file import validate

_READS = "predictor.reads"  # in an identity's settings


def read_again(
    path: Path,
    reads: str | None = None,
    dataset: str | None = None,
    data_dir: Path | None = None,
) -> RunResult:
    """Read the answers of a record otherwise, and score them; the model is not asked.

    How answers are read is a part of what a run is, so that this gives another record, beside the
    first one: that of a run which reads them so, and takes it then.

    Args:
        path: of the record.
        reads: how, as a dataset's `prompt` says it (`mmbench.prompts`); None as the dataset says
            now.
        dataset: the YAML file of a dataset that is not registered.
        data_dir: the folder of the dataset's files, where they do not come with mmbench.
    Raises: MMBenchError if the record keeps nothing that was written, they are read so already, or
        the dataset is another than when it was run.
    """
    folders = find_records([path])
    if len(folders) > 1:
        raise MMBenchError(f"--record takes one record, and there are {len(folders)} below {path}")
    [folder] = folders
    record = verified(folder)
    options = (record.recipe.get("predictor") or {}).get("options", {})
    task: Task = registry.load("tasks", record.task)()
    if "reads" not in options or "written" not in RunResult.predictions_in(folder):
        raise MMBenchError(
            f"{folder} keeps nothing that its model wrote: only answers of hf: and openai: models "
            "to tasks whose answers are texts are read off it"
        )
    if reads is None:
        asked = task.dataset(dataset or record.dataset, data_dir).prompt or task.prompt
        reads = asked.reads if asked else options["reads"]
    prompt = validate(Prompt, {"text": "{text}", "reads": reads}, "score")
    if reads == options["reads"]:
        raise MMBenchError(
            f"the answers in {folder} are read as '{reads}' already: give another way by --reads"
        )
    return _read_again(folder, record, task, prompt, dataset, data_dir)


def _read_again(
    folder: Path,
    record: Record,
    task: Task,
    prompt: Prompt,
    dataset: str | None,
    data_dir: Path | None,
) -> RunResult:
    samples = samples_asked(record, task, data_dir, dataset=dataset)
    stored = stored_answers(folder, task, samples)
    assert stored.written is not None  # as was looked for
    answered = list(compress(samples, stored.mask))
    written = list(compress(stored.written, stored.mask))
    values = [
        prompt.read(str(text), sample.inputs)
        for text, sample in zip(written, answered, strict=True)
    ]
    answers, notes = task.conclude(answered, values)
    metrics = load_metrics([entry.name for entry in record.metrics if entry.category is None])
    scores = score_answers(metrics, answered, answers)
    before = score_answers(metrics, answered, stored.answers).notes
    table = task.table(answered, answers)
    if stored.failures:
        table["target"] = task.targets(samples)
    table["written"] = stored.written
    mask = stored.mask if stored.failures else None
    files = {
        PREDICTIONS_FILE: predictions_file(samples, table, scores.statistics, stored.failures),
        STATISTICS_FILE: scores.kept(samples, mask).to_bytes(),
    }
    changed = _changed(record, prompt.reads)
    changed |= {"metrics": scores.entries, "failed": scores.failed}
    told = f"read as '{prompt.reads}' off what the record {record.hash[:8]} keeps; not asked again"
    others = [note for note in record.notes if note not in before]
    changed["notes"] = list(dict.fromkeys([*scores.notes, *notes, *others, told]))
    new = record.model_copy(update=changed)
    place = record_folder(
        folder.parents[4], new.task, new.dataset, new.model, new.identity.hash, new.seed
    )
    return RunResult(write_record(place, new, files), place, reused=False)


def _changed(record: Record, reads: str) -> dict[str, Any]:
    """What of a record another way to read its answers changes, scores aside."""
    predictor = record.recipe["predictor"]
    options = {**predictor["options"], "reads": reads}
    settings = {**record.identity.settings, _READS: reads}
    return {
        "recipe": {**record.recipe, "predictor": {**predictor, "options": options}},
        "identity": record.identity.model_copy(update={"settings": settings}),
    }
