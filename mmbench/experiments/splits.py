"""The splits that a run reads: its own, and those that stages of its training have besides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from mmbench import registry
from mmbench.data.caption_noise import with_noise
from mmbench.data.dataset import DatasetSpec, tasks_of
from mmbench.data.fingerprints import SplitFacts, facts_of, known_facts, remember_facts
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.recipe import Recipe
from mmbench.request import RunRequest
from mmbench.stages import TASK, Stage, StageData
from mmbench.task import Task


class Splits:
    """The splits of a dataset, each read when its samples are asked for, once."""

    def __init__(self, task: Task, spec: DatasetSpec) -> None:
        self._task = task
        self._spec = spec
        self._read: dict[str, SampleSet] = {}

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the metrics that they are scored by, the primary one first."""
        return list(self._task.metrics_on(self._spec))

    def samples(self, split: str) -> SampleSet:
        """The samples of a split."""
        if split not in self._read:
            self._read[split] = self._task.load(self._spec, split)
            remember_facts(self._spec, split, facts_of(self._read[split]))
        return self._read[split]

    def facts(self, split: str) -> SplitFacts:
        """Fingerprint and size of a split: from the cache where it was read before."""
        if split in self._read:
            return facts_of(self._read[split])
        return known_facts(self._spec, split) or facts_of(self.samples(split))


def splits_of(task: Task, spec: DatasetSpec, read: dict[str, Splits]) -> Splits:
    """A dataset's splits, shared with whoever else read them.

    Args:
        read: splits that were read for others, which this adds to.
    """
    return read.setdefault(f"{task.name} {spec.model_dump_json()}", Splits(task, spec))


@dataclass(frozen=True)
class StageSource:
    """Where a stage's samples come from.

    Attributes:
        stage: its name.
        data: what the recipe says of them.
        splits: of their dataset.
    """

    stage: str
    data: StageData
    splits: Splits = field(repr=False)

    @property
    def fingerprints(self) -> dict[str, str]:
        """By what an identity calls them, the fingerprints of what it is trained on and chosen by.

        Those of a share are of the whole splits: which share it is stands among the settings, and
        so does how much noise there is.
        """
        used = self.data.split, self.data.validation
        if not self.data.elsewhere and used == ("train", "validation"):
            return {}  # those of the run
        return {f"{self.stage}.{name}": self.splits.facts(name).fingerprint for name in used}

    @cached_property
    def train(self) -> SampleSet:
        """What it is trained on, its noise put in.

        Raises: MMBenchError if its share of them holds no group, or noise finds no captions.
        """
        return with_noise(self.right, self.data.noise) if self.data.noise else self.right

    @property
    def right(self) -> SampleSet:
        """The same without noise."""
        samples = self.splits.samples(self.data.split)
        if self.data.share == 1:
            return samples
        groups = {sample.group for sample in samples}
        chosen = self.data.chosen(groups)
        if not chosen:
            raise MMBenchError(
                f"the stage {self.stage} is trained on {self.data.share:g} of {len(groups):,} "
                "groups, which leaves none: raise data.share"
            )
        return replace(samples, samples=[s for s in samples if s.group in chosen])

    @property
    def validation(self) -> SampleSet:
        """What chooses its epoch."""
        return self.splits.samples(self.data.validation)


def stage_sources(
    request: RunRequest, task: Task, spec: DatasetSpec, recipe: Recipe, read: dict[str, Splits]
) -> dict[str, StageSource]:
    """By name, the stages of a recipe that say what they are trained on.

    Args:
        request: of the run.
        task, spec: the run's task and dataset, as adapted to the recipe.
        recipe: resolved.
        read: see `splits_of`.
    Raises: MMBenchError for a dataset or split that does not exist, a task that it is not for, or
        the split that the run is scored on.
    """
    found = {}
    for stage in recipe.stages:
        if stage.data is None:
            continue
        whose, data = _task_of(stage, stage.data, task, spec), spec
        if stage.data.elsewhere:
            data = _dataset_of(stage.data, whose, spec, request)
        scored = request.split or spec.evaluate_on
        for split in (stage.data.split, stage.data.validation):
            if split not in data.splits:
                raise MMBenchError(
                    f"the stage {stage.name}: {data.name} has no split '{split}'."
                    f"{did_you_mean(split, data.splits)} It has {', '.join(data.splits)}: name "
                    "them in data.split and data.validation"
                )
            if data.name == spec.name and split == scored:
                raise MMBenchError(
                    f"the stage {stage.name} learns from the split {split}, by which the run is "
                    "scored: name another one in data.split and data.validation"
                )
        found[stage.name] = StageSource(stage.name, stage.data, splits_of(whose, data, read))
    return found


def _task_of(stage: Stage, data: StageData, task: Task, spec: DatasetSpec) -> Task:
    """The task whose samples a stage is trained on."""
    known = tasks_of(data.dataset) if data.dataset else [task.name]
    name = data.task or (task.name if task.name in known else known[0])
    if TASK in stage.objective and name != task.name:
        raise MMBenchError(
            f"the stage {stage.name} minimises task, which is {task.name}, and its data are for "
            f"{', '.join([name] if data.task else known)}: name a dataset of {task.name}, or "
            "another objective"
        )
    found: Task = task if name == task.name else registry.load("tasks", name)()
    return found


def _dataset_of(data: StageData, task: Task, spec: DatasetSpec, request: RunRequest) -> DatasetSpec:
    """The dataset that a stage names, with media as large and long as the run's are."""
    same = data.dataset is None
    folder = data.data_dir or (request.data_dir if same else None)
    name = (request.dataset or spec.name) if same else data.dataset
    found = task.dataset(name, folder, request.skip_bad)
    sizes = {"image_size": spec.image_size}
    if "video" in spec.modalities:
        sizes |= {"frames": spec.frames}
    changes: dict[str, object] = {k: v for k, v in sizes.items() if getattr(found, k) != v}
    if "audio" in spec.modalities:
        changes |= {"sample_rate": spec.sample_rate, "seconds": spec.seconds}
    return found.model_copy(update=changes) if changes else found
