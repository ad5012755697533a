"""A study: a comparison to be made, as plain data: what `mmbench compare` is asked for.

Python, the command line and a YAML file all make one; `mmbench.experiments.study` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from mmbench.recipe import digest
from mmbench.records.names import safe_name
from mmbench.records.writing import writing_to
from mmbench.request import LARGEST_SEED, RunSettings, of_options
from mmbench.yaml_file import read_yaml, validate

STUDIES = "studies"  # the folder below `out` that studies are kept in
MOST_TRIALS = 10_000

Budget = Literal["as-is", "params", "flops"]


def _names(value: Any) -> Any:
    """Names as a file or the command line has them: a list, or separated by commas."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return list(value) if isinstance(value, tuple) else value


def _datasets(value: Any) -> Any:
    """As `_names`; the path of one file may hold commas."""
    return [value] if isinstance(value, str) and Path(value).is_file() else _names(value)


def _seeds(value: Any) -> Any:
    """A number of seeds, 0, 1, ... each, or the seeds themselves: `5`, `0,1,7`, `[0, 1, 7]`."""
    if isinstance(value, str):
        texts = [text.strip() for text in value.split(",")]
        if not all(text.removeprefix("-").isdecimal() for text in texts if text):
            raise ValueError(f"must be a number of seeds, or seeds as in 0,1,7, got '{value}'")
        numbers = [int(text) for text in texts if text]
        value = numbers[0] if len(texts) == 1 and numbers else numbers
    if isinstance(value, bool) or not isinstance(value, int | list | tuple | range):
        raise ValueError(f"must be a number of seeds, or a list of them, got {value!r}")
    if isinstance(value, int):
        if value < 1:
            one = "; the seed 0 alone is a list, [0], or is written with a comma: 0," * (value == 0)
            raise ValueError(f"must be at least 1, got {value}{one}")
        if value > LARGEST_SEED:
            raise ValueError(f"must be at most {LARGEST_SEED}, got {value}")
        return list(range(value))
    return list(value)


Names = Annotated[list[str], BeforeValidator(_names)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class Engine(NamedTuple):
    """What carries runs out.

    Attributes:
        ray: whether it is Ray, or this machine.
        address: of the cluster; None for the one that runs here.
    """

    ray: bool = False
    address: str | None = None


HERE = Engine()


class Study(RunSettings):
    """Models compared on datasets under equal conditions.

    Attributes:
        name: what its file is called that is kept with the results; made of its content if empty.
        task: one or more tasks.
        dataset: datasets of these tasks, each compared on for every task that it is for; the
            default dataset of each task if none.
        models: two or more recipes, registered or as YAML files.
        references: whether the tasks' references, which fuse nothing, are compared too; or which
            recipes are in their place.
        seeds: of the runs of each model.
        metrics: what is tested, of those that a dataset has; its first one if none.
        baseline: the model that the others are compared with; all pairs if None.
        budget: "params" or "flops" solves for the width of each model, so that all have as many
            trained parameters, or operations a sample, as the baseline or else the first model.
        tune: how many trials each model gets on validation; 0 takes the recipes as they are.
        search: by dotted key, what trials try of all models, in place of and beside what they
            usually do: a list of values, or a range (`mmbench.experiments.search_space`).
        jobs: how many runs at a time.
        engine: what carries them out: this machine ("here"), or a cluster of Ray ("ray").
        address: of the cluster.
        robustness: whether the models are asked again afterwards with their inputs damaged.
        corruptions: by which of `mmbench list corruptions`; by all if None.
        allow_unchecked: compare parts of others that do not keep their contract, too.
    """

    name: str = ""
    task: Names
    dataset: Annotated[list[str], BeforeValidator(_datasets)] = []
    models: Names
    references: bool | Names = True
    seeds: Annotated[list[Seed], BeforeValidator(_seeds)] = [0, 1, 2]
    metrics: Names = []
    baseline: str | None = None
    budget: Budget = "as-is"
    tune: int = Field(0, ge=0, le=MOST_TRIALS)
    search: dict[str, Any] = {}
    jobs: int = Field(1, ge=1)
    engine: Literal["here", "ray"] = "here"
    address: str | None = None
    robustness: bool = False
    corruptions: Names | None = None
    allow_unchecked: bool = False

    @field_validator("task", "dataset", "metrics", "seeds")
    @classmethod
    def _once(cls, values: list[Any]) -> list[Any]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"names {value} twice")
        return values

    @field_validator("task", "seeds")
    @classmethod
    def _one_at_least(cls, values: list[Any]) -> list[Any]:
        if not values:
            raise ValueError("must name one at least")
        return values

    @model_validator(mode="after")
    def _one_engine(self) -> Study:
        if self.engine == "ray" and self.jobs > 1:
            raise ValueError(
                "--jobs is for this machine: Ray runs as many at a time as its machines have cores "
                "(--threads says how many one takes) or GPUs"
            )
        if self.engine != "ray" and self.address is not None:
            raise ValueError("--address is of a cluster of Ray: give --engine ray too")
        return self

    @property
    def carried_out_by(self) -> Engine:
        """What carries its runs out."""
        return Engine(self.engine == "ray", self.address)

    def run_settings(self) -> dict[str, Any]:
        """What its runs have of it, as a `RunRequest` takes it."""
        return {name: getattr(self, name) for name in RunSettings.model_fields}


def make_study(**values: Any) -> Study:
    """A study of these values.

    Raises: MMBenchError that names the value that is wrong, as the command line calls it.
    """
    return of_options(Study, values, "mmbench compare")


def read_study(path: str | Path, **changes: Any) -> Study:
    """The study in a YAML file: the fields of `Study`, by name.

    Args:
        path: of the file, after which the study is called unless it says otherwise.
        changes: values that stand in place of the file's; overrides are added to its own.
    Raises: MMBenchError that names the file, and the value that is missing, wrong or not known.
    """
    path = Path(path)
    values = {"name": path.stem, **read_yaml(path)}
    if "set" in values:  # as the command line calls it
        values.setdefault("overrides", values.pop("set"))
    if isinstance(values.get("overrides"), dict):
        changes["overrides"] = values["overrides"] | changes.get("overrides", {})
    return validate(Study, values | changes, str(path))


def study_text(study: Study, comments: Sequence[str] = ()) -> str:
    """A study as a YAML file has it, which gives it again; what else is as usual is left out.

    Args:
        study: as resolved.
        comments: lines to stand above.
    """
    values = study.model_dump(mode="json", exclude_defaults=True) | {"seeds": study.seeds}
    own = [name for name in Study.model_fields if name not in RunSettings.model_fields]
    ordered = {name: values[name] for name in [*own, *values] if name in values}
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    return head + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100)


def keep_study(study: Study, comments: Sequence[str] = ()) -> Path:
    """Write a study beside its results, and say where.

    It is called after its name; another one of that name stays, and this one gets a name of its
    own beside it.

    Raises: MMBenchError if the disk does not take it.
    """
    text = study_text(study, comments)
    mark = digest(study.model_dump(mode="json", exclude={"allow_failed", "engine", "address"}))[:8]
    folder = study.out / STUDIES
    name = study.name or "-".join([*study.task, *(Path(d).stem for d in study.dataset), mark])
    file = folder / f"{safe_name(name)}.yaml"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and _content(file) != _plain(text):
            file = folder / f"{safe_name(f'{name}-{mark}')}.yaml"
        temporary = file.with_name(f".{file.name}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    return file


def _content(file: Path) -> str:
    return _plain(file.read_text(encoding="utf-8", errors="replace"))


def _plain(text: str) -> str:
    """Less its comments, which tell what was found and not what was asked."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
