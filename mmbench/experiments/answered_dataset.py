"""Predictions made elsewhere, held against a dataset as its runs are, so that they compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.data.cells import lost_characters
from mmbench.data.dataset import DatasetSpec, tasks_of
from mmbench.data.prediction_files import PredictionFile, file_hash
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.task import Task
from mmbench.versions import part_version


@dataclass(frozen=True)
class AskedDataset:
    """A split that predictions are for.

    Attributes:
        task, spec, samples: as a run has them.
    """

    task: Task
    spec: DatasetSpec
    samples: SampleSet

    @property
    def metrics(self) -> list[str]:
        """Those that a run is scored by, in its order."""
        return list(self.task.metrics_on(self.spec))

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the scores besides the samples: see `mmbench.records.identity.Identity`."""
        data = {"options": self.spec.options, "categories": self.spec.categories}
        return {
            "data": {key: value for key, value in data.items() if value},
            "parts": {f"tasks:{self.task.name}": part_version("tasks", self.task.name)},
        }

    def answered(self, predictions: Path) -> PredictionFile:
        """A file's predictions, as the metrics take them.

        Raises: MMBenchError for a file that cannot be read or does not fit the samples.
        """
        return answered(self.task, self.samples, predictions)


def answered(task: Task, samples: SampleSet, predictions: Path) -> PredictionFile:
    """A file's predictions for samples of a task, as the metrics take them.

    Raises: MMBenchError for a file that cannot be read or does not fit the samples.
    """
    given = task.read_answers(predictions, samples)
    answers, notes = task.conclude(samples, given)
    lost = lost_characters("predictions", [a for a in answers if isinstance(a, str)])
    return PredictionFile(samples, answers, file_hash(predictions), [*notes, *lost])


def asked_dataset(
    task: str | None,
    dataset: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
) -> AskedDataset:
    """A split of a dataset, read.

    Args:
        task: its task; may be left out of a dataset that belongs to one alone.
        dataset: registered, or the path of its YAML file; the task's own if None.
        split: the one that is scored unless told otherwise if None.
        data_dir, skip_bad: as of a run.
    Raises: MMBenchError for whatever does not exist or does not fit.
    """
    if task is None:
        tasks = tasks_of(dataset) if dataset is not None else registry.names("tasks")
        if len(tasks) > 1:
            whose = f"{dataset} belongs to" if dataset is not None else "there are"
            raise MMBenchError(f"{whose} several tasks: name one with --task ({', '.join(tasks)})")
        task = tasks[0]
    found: Task = registry.load("tasks", task)()
    if found.answer_kind == "images":
        raise MMBenchError(
            f"images for {task} are scored as sets, not by a dataset's samples: give real images, "
            "or prompts, with --references"
        )
    spec = found.dataset(dataset, data_dir, skip_bad)
    return AskedDataset(found, spec, found.load(spec, split or spec.evaluate_on))
