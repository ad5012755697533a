"""A request: one run to be done, as plain data that can travel to another process or machine.

Python, the command line and a comparison all make one; `mmbench.experiments.run` carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, model_validator

from mmbench.errors import MMBenchError
from mmbench.near_settings import near_option
from mmbench.yaml_file import Settings, read_yaml, validate

S = TypeVar("S", bound=Settings)
LARGEST_SEED = 2**31 - 1
MOST_THREADS = 1024
_IN_PYTHON = ("overrides", "search", "name")  # and in files: no options are called so


class RunSettings(Settings):
    """How runs are carried out, whatever the model: what a run and a study have in common.

    Attributes:
        split: the split to score; the dataset's `evaluate_on` if None.
        overrides: changes to the recipe: `{"train.epochs": 3}`.
        limit: score only the first so many samples.
        device: "auto" (cuda, else mps, else cpu), or a device of torch.
        deterministic: on a GPU, repeats give the same bytes, more slowly.
        compile: compile training steps and answering by torch.compile, which takes a minute and
            changes the last bits of what is trained.
        threads: of the CPU to compute with; None for as many as torch takes by itself. How sums are
            split depends on it, and so do the last bits of what is trained on a CPU.
        batch_size: groups (an image with its questions) a batch in inference; None for the usual.
        init: a `weights.safetensors` that training begins from: each of its parts that fits the
            model by name.
        data_dir: the folder of the dataset's files, for one that does not come with mmbench.
        skip_bad: leave out samples whose media cannot be read, and count them in the record.
        allow_hub_code: download and run metrics `evaluate:<name>` of the hub.
        allow_failed: show the score of the samples that were answered where more than 1% failed.
        out: where records are kept.
        force: run although there is a record.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    split: str | None = None
    overrides: dict[str, Any] = {}
    limit: int | None = Field(None, ge=1)
    device: str = "auto"
    deterministic: bool = False
    compile: bool = False
    threads: int | None = Field(None, ge=1, le=MOST_THREADS)
    batch_size: int | None = Field(None, ge=1)
    init: Path | None = Field(None, strict=False)
    data_dir: Path | None = Field(None, strict=False)
    skip_bad: bool = False
    allow_hub_code: bool = False
    allow_failed: bool = False
    out: Path = Field(Path("results"), strict=False)
    force: bool = False


class RunRequest(RunSettings):
    """One run to be done.

    Attributes:
        task: a registered task ("vqa"); several, separated by commas, are trained together.
        model: a registered recipe ("gated_fusion"), or the path of a recipe's YAML file.
        dataset: a dataset of the task, or the path of its YAML file; the task's default if None. Of
            several tasks one that all have, or one for each, separated by commas.
        train: train from nothing on the train split, choosing weights on validation. Otherwise the
            weights that are shipped with the recipe, or those of `checkpoint`, are used.
        seed: of initialisation, batches and dropout.
        checkpoint: a `weights.safetensors` to use.
        resume: go on with a training that was cut off.
    """

    task: str
    model: str
    dataset: str | None = None
    train: bool = False
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    checkpoint: Path | None = Field(None, strict=False)
    resume: bool = False

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> RunRequest:
        if self.train and self.checkpoint is not None:
            raise ValueError("train makes new weights and checkpoint names old ones: choose one")
        if self.init is not None and not self.train:
            raise ValueError("init is what a training begins from: give train too")
        if self.resume and not self.train:
            raise ValueError("resume goes on with a training that was cut off: give train too")
        return self


def run_request(**values: Any) -> RunRequest:
    """A request of these values.

    Raises: MMBenchError that names the value that is wrong, as the command line calls it.
    """
    return of_options(RunRequest, values, "mmbench run")


def placed(request: RunRequest) -> RunRequest:
    """A request with its files named from the root, as a process in another folder finds them."""
    names = {
        key: str(Path(value).resolve())
        for key in ("model", "dataset")
        if (value := getattr(request, key)) is not None and value.endswith((".yaml", ".yml"))
    }
    paths = {
        key: value.resolve()
        for key in ("data_dir", "init", "checkpoint")
        if (value := getattr(request, key)) is not None
    }
    return request.model_copy(update=names | paths)


def read_request(path: Path, **changes: Any) -> RunRequest:
    """The request in a YAML file: the fields of `RunRequest`, by name.

    Args:
        path: of the file.
        changes: values that stand in place of the file's; overrides are added to its own.
    Raises: MMBenchError that names the file, and the value that is missing, wrong or not known.
    """
    values = read_yaml(path)
    if isinstance(values.get("overrides"), dict):
        changes["overrides"] = values["overrides"] | changes.get("overrides", {})
    return validate(RunRequest, values | changes, str(path))


def of_options(model: type[S], values: Mapping[str, Any], command: str) -> S:
    """Settings of values that were given by name; None is not given.

    Args:
        command: that takes them.
    Raises: MMBenchError that names the option that is wrong or not known, and what was meant.
    """
    if "set" in values:
        raise MMBenchError(
            "there is no argument `set`: changes to a recipe are `overrides`, a mapping, as in "
            'overrides={"train.epochs": 3}'
        )
    values = {name: value for name, value in values.items() if value is not None}
    known = [as_option(name) for name in model.model_fields if name != "overrides"]
    if unknown := [name for name in values if name not in model.model_fields]:
        option, value = as_option(unknown[0]), json.dumps(values[unknown[0]], default=str)
        hint = near_option(option, value, [*known, "--set"])
        raise MMBenchError(f"no such option {option}.{hint} `{command} --help` shows all.")
    try:
        return validate(model, values, "")
    except MMBenchError as error:
        message = str(error).removeprefix(": ")
        name = message.partition(" ")[0]
        is_option = name in model.model_fields and name not in _IN_PYTHON
        shown = as_option(name) if is_option else name
        raise MMBenchError(message.replace(name, shown, 1)) from None


def as_option(name: str) -> str:
    """What the command line calls a field.

    >>> as_option("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")
