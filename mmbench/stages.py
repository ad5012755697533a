"""Stages of training, as a recipe has them: what each minimises, and what it trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from mmbench import registry
from mmbench.data.sample import stable_number
from mmbench.errors import did_you_mean
from mmbench.yaml_file import Settings, setting

TASK = "task"  # the objective that asks a model for its own losses


class StageObjective(Settings):
    """One of the objectives of a stage. In YAML its weight, or `{weight: 0.5, temperature: 0.1}`.

    Attributes:
        weight: what its losses are multiplied by.
        options: of the objective.
    """

    weight: float = setting(1.0, added_with=1.0, gt=0)
    options: dict[str, Any] = {}


def _read_objectives(value: Any) -> Any:
    """By name, from `simclr`, `[mlm, nsp]`, `{vqa: 1.0, captioning: 0.5}`, or with options."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: {} for name in value}
    if isinstance(value, dict):
        return {name: _read_objective(of_name) for name, of_name in value.items()}
    return value


def _read_objective(value: Any) -> Any:
    if isinstance(value, dict) and "options" not in value:
        options = {key: option for key, option in value.items() if key != "weight"}
        return {"weight": float(value.get("weight", 1.0)), "options": options}
    return {"weight": float(value)} if isinstance(value, int | float) else value


class StageData(Settings):
    """What a stage learns from, where it differs from what the run does.

    Attributes:
        dataset: a dataset, or the path of its YAML file; the run's if None.
        task: whose samples of it; the run's task where the dataset is for that, else its first.
        split, validation: which of its splits it is trained on, and which chooses the epoch.
        share: of the groups that it is trained on: always the same ones, by a hash of their names,
            whatever the seed; those of a smaller share are among those of a larger. Validation
            stays whole.
        noise: share of the captions of training that are exchanged for another sample's, always the
            same ones: pairs that are wrong, as those of the web are.
        captions: "given", or "bootstrapped": those that the model, as earlier stages trained it,
            finds to match, of the given ones and of one that it writes of each sample itself.
        data_dir: the folder of the dataset's files, for one that does not come with mmbench.
    """

    dataset: str | None = setting(None, added_with=None)
    task: str | None = setting(None, added_with=None)
    split: str = setting("train", added_with="train")
    validation: str = setting("validation", added_with="validation")
    share: float = setting(1.0, added_with=1.0, gt=0, le=1)
    noise: float = setting(0.0, added_with=0.0, ge=0, le=1)
    captions: Literal["given", "bootstrapped"] = setting("given", added_with="given")
    data_dir: Path | None = Field(None, strict=False)

    @property
    def elsewhere(self) -> bool:
        """Whether these are other samples than the run's task reads of its dataset."""
        return self.dataset is not None or self.task is not None

    def changed(self) -> dict[str, Any]:
        """As of all settings; not where the files lie, since their content has a fingerprint."""
        return {key: value for key, value in super().changed().items() if key != "data_dir"}

    @property
    def words(self) -> str:
        """What it is, in a few words.

        >>> StageData(dataset="laion", share=0.1).words
        '10% of laion'
        """
        of = self.dataset or "the run's data"
        of += f" for {self.task}" if self.task else ""
        of += f", split {self.split}" if self.split != "train" else ""
        of = of if self.share == 1 else f"{100 * self.share:g}% of {of}"
        of += f", {100 * self.noise:g}% of captions exchanged" if self.noise else ""
        return of if self.captions == "given" else f"{of}, captions {self.captions}"

    def chosen(self, groups: Iterable[str]) -> set[str]:
        """Of groups, those that its share holds.

        >>> sorted(StageData(share=0.5).chosen("abcdef"))
        ['a', 'b', 'c', 'f']
        """
        return {g for g in groups if stable_number(f"share/{g}") < self.share * 16**12}


class Stage(Settings):
    """A stage of training.

    Attributes:
        name: what progress and log call it.
        objective: what it minimises: a name (`simclr`), a list of names, or a mapping of names to
            weights. Where these are tasks (`{vqa: 1.0, captioning: 0.5}`), they are trained
            together, and the weights say how often an epoch goes through the samples of each.
        trains: parts of the model by their dotted names (`encoders.image`); all of it if left out.
        freezes: of what it trains, the parts that stay as they are.
        train: settings of training that differ from the recipe's.
        data: what it learns from, where that is not what the run does.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    objective: Annotated[dict[str, StageObjective], BeforeValidator(_read_objectives)]
    trains: list[str] | None = setting(None, added_with=None)
    freezes: list[str] = setting([], added_with=[])
    train: dict[str, Any] = setting({}, added_with={})
    data: StageData | None = setting(None, added_with=None)

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Stage:
        if not self.objective:
            raise ValueError(f"of the stage {self.name} names no objective")
        self._check_tasks()
        if self.trains == []:
            raise ValueError(f"of the stage {self.name} trains nothing: name a part in `trains`")
        for part in self.trains or ():
            if any(is_within(part, frozen) for frozen in self.freezes):
                raise ValueError(
                    f"of the stage {self.name} trains {part} and freezes it too: choose one"
                )
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it trains together, sorted; none where it minimises objectives.

        >>> Stage(name="joint", objective={"vqa": 1.0, "captioning": 0.5}).tasks
        ('captioning', 'vqa')
        """
        return tuple(sorted(filter(_is_task, self.objective)))

    def _check_tasks(self) -> None:
        """Refuse what cannot be trained together."""
        if not (tasks := self.tasks):
            return
        others = [name for name in self.objective if name not in tasks]
        if odd := [name for name in others if not registry.has("objectives", name)]:
            known = [*registry.names("tasks"), *registry.names("objectives")]
            raise ValueError(
                f"of the stage {self.name} names '{odd[0]}', which is neither a task nor an "
                f"objective.{did_you_mean(odd[0], known)}"
            )
        if others:
            raise ValueError(
                f"of the stage {self.name} names tasks ({', '.join(tasks)}) and objectives "
                f"({', '.join(others)}): give each a stage of its own"
            )
        if len(tasks) == 1:
            raise ValueError(
                f"of the stage {self.name} names one task alone, {tasks[0]}: name two or more to "
                f"train them together, or the objective {TASK}"
            )
        for task in tasks:
            if options := self.objective[task].options:
                raise ValueError(
                    f"of the stage {self.name} gives {task} the option {next(iter(options))}: a "
                    "task has a weight alone"
                )

    @property
    def words(self) -> str:
        """What it does, in a line.

        >>> Stage(name="image", objective="simclr", trains=["encoders.image"]).words
        'image: simclr; trains encoders.image'
        """
        found = [f"{self.name}: " + ", ".join(_objective(*o) for o in self.objective.items())]
        found += [f"trains {', '.join(self.trains)}"] if self.trains else []
        found += [f"freezes {', '.join(self.freezes)}"] if self.freezes else []
        found += [f"{key} {value}" for key, value in self.train.items()]
        found += [f"on {self.data.words}"] if self.data else []
        return "; ".join(found)

    def changed(self) -> dict[str, Any]:
        """As of all settings; of its data too, only what was changed."""
        found = super().changed()
        return found | {"data": self.data.changed()} if self.data else found

    def trained(self, names: Sequence[str]) -> list[str]:
        """Of the dotted names of a model's parameters or tensors, those that it trains."""
        return [
            name
            for name in names
            if (self.trains is None or any(is_within(name, part) for part in self.trains))
            and not any(is_within(name, part) for part in self.freezes)
        ]


def _objective(name: str, asked: StageObjective) -> str:
    options = ", ".join(f"{key}={value}" for key, value in asked.options.items())
    weight = "" if asked.weight == 1 else f"{asked.weight:g} "
    return weight + name + (f"({options})" if options else "")


def _is_task(name: str) -> bool:
    return name != TASK and not registry.has("objectives", name) and registry.has("tasks", name)


def is_within(name: str, part: str) -> bool:
    """Whether a dotted name is a part's or of something inside it.

    >>> is_within("encoders.image.norm", "encoders"), is_within("encoders_2", "encoders")
    (True, False)
    """
    return name == part or name.startswith(f"{part}.")
