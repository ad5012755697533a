"""What a dataset is: a YAML file that names its source, splits, columns, licence and citation."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.prompts import PromptField
from mmbench.yaml_file import Settings, read_yaml, validate


class PackageSource(Settings):
    """A dataset whose files come inside a Python package.

    Attributes:
        package: its import name.
        install: its name for pip.
    """

    package: str
    install: str


class HubMedia(Settings):
    """A table of media apart from the rows, as some repositories have it.

    Attributes:
        name, split: its configuration and split.
        key: its column that the rows' media column names.
        column: its column of media.
    """

    name: str
    split: str
    key: str
    column: str


class HubSplit(Settings):
    """A split as the hub has it.

    Attributes:
        split: its name there; may be a slice, "train[:1000]".
        where: by column, the value that a row must have to be of it.
        media: where the media are, if not beside the rows.
        path, name, revision, columns: where they differ from the dataset's.
    """

    split: str
    media: HubMedia | None = None
    where: dict[str, str] = {}
    path: str | None = None
    name: str | None = None
    revision: str | None = None
    columns: dict[str, str | list[str]] | None = None


HELD_OUT = 0.1  # of train, as validation, where a dataset's file says nothing of it


class HubSource(Settings):
    """A dataset on the Hugging Face hub, or a folder in a layout of the hub's, as a plain table.

    It is read with `datasets.load_dataset`; code that lies beside the data is never run.

    Attributes:
        path, name, revision: of the repository, its configuration and its commit; or a folder, from
            where the dataset's file lies or from where one works.
        columns: by our column ("text", "target", "image", "captions", ...), theirs; a dot goes
            into a column that holds records; a list of columns makes a list. Where `group` is the
            column of the media, samples are grouped by their content.
        lower: our columns whose texts are made lower-case.
        splits: by our split, theirs.
        streaming: fetch only the first `take` rows of a split, and keep those.
        take: how many rows of a split that is streamed.
    """

    path: str
    name: str | None = None
    revision: str | None = None
    columns: dict[str, str | list[str]]
    lower: list[str] = []
    splits: dict[str, HubSplit | str]
    streaming: bool = False
    take: int = Field(100_000, ge=1)

    def split(self, name: str) -> HubSplit:
        """A split, with what it does not set taken from the dataset."""
        found = self.splits[name]
        if isinstance(found, str):
            found = HubSplit(split=found)
        own = {key: value for key, value in dict(found).items() if value is not None}
        inherited = {key: getattr(self, key) for key in ("path", "name", "revision", "columns")}
        if "path" in own:
            inherited |= {"name": None, "revision": None}
        return HubSplit(**(inherited | own))


class Split(BaseModel):
    """A split as its reader finds it, or one held out of another.

    Attributes:
        of, hold_out: the split that this one is held out of, and the share of its groups.
        samples: how many there officially are; `mmbench data check` counts.
        reader: where it is in another layout than the dataset's.
        by_default: whether it is held out although the dataset's file says nothing of it.
        Any other key is an option of the reader.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    of: str | None = None
    hold_out: float | None = Field(None, gt=0, lt=1)
    samples: int | None = Field(None, ge=1)
    reader: str | None = None
    by_default: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Split:
        if (self.of is None) != (self.hold_out is None):
            raise ValueError("needs `of` and `hold_out` together")
        if self.of is not None and self.options:
            raise ValueError(f"is held out of {self.of}, so it takes no {', '.join(self.options)}")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What it sets of the reader's fields."""
        return dict(self.model_extra or {})


class Layout(BaseModel):
    """How the dataset's files are laid out; any key besides `reader` is an option of the reader."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    reader: str

    @property
    def options(self) -> dict[str, Any]:
        """What it sets of the reader's fields, for all splits."""
        return dict(self.model_extra or {})


class DatasetSpec(Settings):
    """A dataset, as one task sees it.

    In YAML, a dataset of one task has `task: vqa`; one of several has `tasks`, a mapping of each
    task to what it sets differently: `tasks: {captioning: {}, generation: {image_size: 32}}`.

    Attributes:
        name: the YAML file's name.
        file: the YAML file, where it is not a registered dataset's.
        task: the task.
        title: what a paper's table calls it; made of the name if empty.
        summary, homepage, licence, citation: what it is and whose.
        source: the package that brings its files.
        hub: where the hub has it, for those who name no folder.
        data_dir: the folder of its files, where the user or the file names one; the latter from
            where it lies, or else from where one works.
        layout: how the files in that folder, or in the package, are laid out.
        folder: what the folder must hold, for a person who is to fill it.
        download: how large what must be fetched is: "13 GB".
        splits: by name. A split that another is held out of loses those groups. Where there is a
            `train` and no `validation`, a tenth of the groups of train is held out.
        evaluate_on: the split that `mmbench run` scores unless told otherwise.
        modalities: of its media: image, video or audio.
        categories: by category, the targets that belong to it.
        image_size: pixels a side that images, and the frames of videos, are kept at. Where the
            file sets none, images that are all smaller are kept at the size of the largest.
        frames: of a video.
        sample_rate, seconds: of a sound.
        options: what else the task reads.
        metrics: names of metrics, the primary one first; the task's own if none are named.
        encoders: by modality, the encoder that fits its media, with its options, where a recipe
            names none.
        prompt: how models from elsewhere are asked about it; the task's own way if it says nothing.
        train: how long and how fast models are trained on it, where a recipe does not say.
        skip_bad: whether samples whose media cannot be read are left out, and counted.
    """

    name: str
    file: Path | None = Field(None, strict=False, exclude=True)  # where it lies decides nothing
    task: str
    title: str = ""
    summary: str
    homepage: str
    licence: str
    citation: str
    source: PackageSource | None = None
    hub: HubSource | None = None
    folder: str = ""
    download: str = ""
    data_dir: Path | None = Field(None, strict=False)
    layout: Layout | None = None
    splits: dict[str, Split]
    evaluate_on: str = "test"
    modalities: list[str] = ["image"]
    categories: dict[str, list[str]] = {}
    image_size: int = Field(224, ge=1)
    frames: int = Field(16, ge=1)
    sample_rate: int = Field(16_000, ge=1)
    seconds: float = Field(10.0, gt=0, strict=False)
    options: dict[str, Any] = {}
    metrics: list[str] = []
    encoders: dict[str, str | dict[str, Any]] = {}
    prompt: PromptField | None = None
    train: dict[str, Any] = {}
    skip_bad: bool = False

    @property
    def asked_as(self) -> str:
        """What a command line names it by."""
        return self.name if self.file is None else shlex.quote(str(self.file))

    def at_size(self, pixels: int) -> DatasetSpec:
        """The same with images of so many pixels a side."""
        return self.model_copy(update={"image_size": pixels})

    @model_validator(mode="before")
    @classmethod
    def _hold_out_validation(cls, value: Any) -> Any:
        splits = value.get("splits") if isinstance(value, dict) else None
        if not isinstance(splits, dict) or "train" not in splits or "validation" in splits:
            return value
        if value.get("evaluate_on") == "validation":
            return value  # it is to be found, and is not
        held_out = Split(of="train", hold_out=HELD_OUT, samples=None, by_default=True)
        names = dict.fromkeys(["train", "validation", *splits])
        return value | {"splits": {n: splits.get(n, held_out) for n in names}}

    @model_validator(mode="after")
    def _splits_exist(self) -> DatasetSpec:
        for split in (self.evaluate_on, *(s.of for s in self.splits.values() if s.of)):
            if split not in self.splits:
                raise ValueError(f"the split '{split}' is named but not in `splits`")
        if self.layout is None and self.hub is None:
            raise ValueError("says neither `layout` nor `hub`: how are its files to be read?")
        unknown = [split for split in (self.hub.splits if self.hub else ()) if not self._has(split)]
        if unknown:
            raise ValueError(f"hub.splits names '{unknown[0]}', which is not in `splits`")
        return self

    def _has(self, split: str) -> bool:
        return split in self.splits and self.splits[split].of is None


def tasks_of(name: str) -> list[str]:
    """The tasks that a dataset, named or by path, belongs to.

    Raises: MMBenchError if there is no such dataset, or its file is wrong.
    """
    path = registry.path("datasets", name)
    value = read_yaml(path)
    return list(_tasks(value, path)) if "tasks" in value else [str(value.get("task"))]


def load_spec(name: str, task: str) -> DatasetSpec:
    """The dataset called `name` (or at that path) for a task.

    Raises: MMBenchError if there is none, its file is wrong, or it does not belong to the task.
    """
    path = registry.path("datasets", name)
    value = read_yaml(path)
    if "tasks" in value and "task" not in value:
        tasks = _tasks(value, path)
        del value["tasks"]
        chosen = task if task in tasks else next(iter(tasks))
        value |= {"task": chosen} | tasks[chosen]
    known = {"name": path.stem, "file": None if str(path) != name else path}
    spec = validate(DatasetSpec, value | known, str(path))
    spec = _beside(spec, path.parent)
    if spec.task != task:
        registry.check("tasks", spec.task)
        raise MMBenchError(
            f"the dataset {spec.name} is for the task {spec.task}, not {task}: give "
            f"--task {spec.task}, or choose another one of `mmbench list datasets --task {task}`"
        )
    return spec


def _beside(spec: DatasetSpec, folder: Path) -> DatasetSpec:
    """The dataset with the folders that its file names from where it lies itself, if any do."""
    changes: dict[str, Any] = {}
    if spec.data_dir is not None and (folder / spec.data_dir).is_dir():
        changes["data_dir"] = folder / spec.data_dir
    if spec.hub is not None and (folder / spec.hub.path).is_dir():
        changes["hub"] = spec.hub.model_copy(update={"path": str(folder / spec.hub.path)})
    return spec.model_copy(update=changes) if changes else spec


def _tasks(value: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """By task, what a dataset sets differently for it."""
    tasks = value["tasks"]
    if not isinstance(tasks, dict) or not tasks:
        raise MMBenchError(f"{path}: tasks must be a mapping of tasks to what each sets")
    for task, settings in tasks.items():
        if not isinstance(settings, dict | None):
            raise MMBenchError(f"{path}: tasks.{task} must be a mapping of keys to values")
    return {str(task): settings or {} for task, settings in tasks.items()}
