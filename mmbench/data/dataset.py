"""What a dataset is: a YAML file that names its source, splits, columns, licence and citation."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.yaml_file import Settings, read_yaml, validate


class PackageSource(Settings):
    """A dataset whose files come inside a Python package.

    Attributes:
        package: its import name.
        install: its name for pip.
    """

    package: str
    install: str


class SplitFiles(Settings):
    """A split as its source holds it, or one held out of another.

    Attributes:
        table: the file with a row a sample, below the source's folder.
        images: the pattern of an image's file; `{image}` stands for the row's image column.
        of, hold_out: instead, the split that this one is held out of, and the share of its groups.
    """

    table: str | None = None
    images: str | None = None
    of: str | None = None
    hold_out: float | None = Field(None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_kind(self) -> SplitFiles:
        if (self.of is None) != (self.hold_out is None):
            raise ValueError("needs `of` and `hold_out` together")
        if (self.table is None) == (self.of is None):
            raise ValueError("needs either `table` or `of` with `hold_out`")
        return self


class DatasetSpec(Settings):
    """A dataset of a task.

    Attributes:
        name: the YAML file's name.
        task: the task that it belongs to.
        summary, homepage, licence, citation: what it is and whose.
        source: where its files come from.
        splits: by name. A split that another is held out of loses those groups.
        evaluate_on: the split that `mmbench run` scores unless told otherwise.
        columns: the row's position or key of each modality, of `target`, and of `image`.
        categories: by category, the targets that belong to it.
        image_size: pixels a side that images are kept at.
        metrics: names of metrics, the primary one first; the task's own if none are named.
    """

    name: str
    task: str
    summary: str
    homepage: str
    licence: str
    citation: str
    source: PackageSource
    splits: dict[str, SplitFiles]
    evaluate_on: str = "test"
    columns: dict[str, int | str]
    categories: dict[str, list[str]] = {}
    image_size: int = Field(224, ge=1)
    metrics: list[str] = []

    @model_validator(mode="after")
    def _splits_exist(self) -> DatasetSpec:
        for split in (self.evaluate_on, *(s.of for s in self.splits.values() if s.of)):
            if split not in self.splits:
                raise ValueError(f"the split '{split}' is named but not in `splits`")
        return self


def load_spec(name: str, task: str) -> DatasetSpec:
    """The dataset called `name` (or at that path) for a task.

    Raises: MMBenchError if there is none, its file is wrong, or it belongs to another task.
    """
    path = registry.path("datasets", name)
    value: dict[str, Any] = read_yaml(path) | {"name": path.stem}
    spec = validate(DatasetSpec, value, str(path))
    if spec.task != task:
        raise MMBenchError(
            f"the dataset {spec.name} is for the task {spec.task}, not {task}: "
            f"`mmbench run --task {spec.task} --dataset {spec.name}`"
        )
    return spec
