"""The plans of several tasks that one model is trained for: a run of each, with one training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.data.dataset import DatasetSpec, tasks_of
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import Plan, make_plan
from mmbench.experiments.splits import Splits
from mmbench.request import RunRequest

_READ_AS = {  # what of a dataset decides how large its media are, in words
    "image": ("image_size",),
    "video": ("image_size", "frames"),
    "audio": ("sample_rate", "seconds"),
}


def names_in(text: str) -> list[str]:
    """Names separated by commas; the path of a file is one, whatever it holds."""
    if Path(text).is_file():
        return [text]
    return [name.strip() for name in text.split(",") if name.strip()]


def requests_of(request: RunRequest) -> dict[str, RunRequest]:
    """By task, in the order that is asked for, the request of that task alone.

    Raises: MMBenchError for a task that does not exist or is named twice, or a dataset that one of
        them does not have.
    """
    tasks = names_in(request.task)
    for task in tasks:
        registry.check("tasks", task)
        if "." in task:
            raise MMBenchError(
                f"{task} is named by where it is written: register it (docs/extending.md) to train "
                "it together with others"
            )
        if tasks.count(task) > 1:
            raise MMBenchError(f"--task names {task} twice: once is enough")
    if request.dataset is None:
        datasets = [_default(tasks)] * len(tasks)
    else:
        datasets = names_in(request.dataset)
        datasets = datasets * len(tasks) if len(datasets) == 1 else datasets
    if len(datasets) != len(tasks):
        raise MMBenchError(
            f"--dataset names {len(datasets)} and --task {len(tasks)}: name one dataset for all "
            "tasks, or one for each in their order"
        )
    return {
        task: request.model_copy(update={"task": task, "dataset": dataset})
        for task, dataset in zip(tasks, datasets, strict=True)
    }


def _default(tasks: list[str]) -> str:
    """The first task's default dataset that all of them have."""
    defaults = [registry.load("tasks", task).default_dataset for task in tasks]
    for name in dict.fromkeys(defaults):
        if set(tasks) <= set(tasks_of(name)):
            return str(name)
    raise MMBenchError(
        f"{' and '.join(tasks)} have no default dataset in common: name one with --dataset, or one "
        "for each in their order"
    )


def joint_plans(request: RunRequest, read: dict[str, Splits] | None = None) -> dict[str, Plan]:
    """By task, sorted by name, the plan of its run; all have one training.

    Args:
        request: of all tasks, whose weights are to be trained.
        read: splits that were read for other requests, which this one shares and adds to.
    Raises: MMBenchError for whatever does not exist or does not fit together.
    """
    read = {} if read is None else read
    requests = dict(sorted(requests_of(request).items()))
    plans = {name: make_plan(r, read, together=[*requests]) for name, r in requests.items()}
    for ours, other in combinations(plans.values(), 2):
        _check_sizes(ours, other)
    facts: dict[str, dict[str, Any]] = {
        name: {
            "dataset": plan.identity.dataset,
            "data": plan.identity.data,
            "settings": plan.identity.settings,
            "parts": plan.identity.parts,
            "fitted_on": plan.identity.fitted_on,
        }
        for name, plan in plans.items()
    }
    return {name: _with_others(plan, facts) for name, plan in plans.items()}


def _with_others(plan: Plan, facts: Mapping[str, dict[str, Any]]) -> Plan:
    """The plan, whose identity says what the others learn from."""
    others = {name: found for name, found in facts.items() if name != plan.task.name}
    return replace(plan, identity=plan.identity.model_copy(update={"joint": others}))


def _check_sizes(ours: Plan, other: Plan) -> None:
    """Refuse media that one encoder would read in two sizes."""
    for modality, keys in _READ_AS.items():
        if not (ours.recipe.encoders.get(modality) and other.recipe.encoders.get(modality)):
            continue
        for key in keys:
            a, b = getattr(ours.dataset, key), getattr(other.dataset, key)
            if a != b:
                raise MMBenchError(
                    f"{_of(ours.dataset)} and {_of(other.dataset)} would be read by one encoder "
                    f"for {modality}, and differ in {key} ({a}; {b}): give --dataset one dataset "
                    "that all tasks have, or a YAML file of your own with the same size"
                )


def _of(dataset: DatasetSpec) -> str:
    return f"{dataset.name} of {dataset.task}"
