"""What `mmbench show` says of a model: its recipe on a task, weights, parameters by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.cli.shown_lines import lines, plain
from mmbench.data.dataset import tasks_of
from mmbench.errors import MMBenchError
from mmbench.recipe import Recipe, load_recipe
from mmbench.task import Task
from mmbench.versions import is_own

if TYPE_CHECKING:
    from mmbench.model import TaskModel
    from mmbench.training.stages import Stage


def model_text(name: str, task: str | None, dataset: str | None, data_dir: Path | None) -> str:
    """The recipe on a task, or on the first that it fits; on all that it is trained for.

    Args:
        name: registered, or the path of its file.
        task: to show it on; if None those of the dataset, or all, mmbench's own first.
        dataset, data_dir: to show it on.
    Raises: MMBenchError if it fits none: why it does not fit the first.
    """
    if (recipe := load_recipe(name)).joint is not None:
        from mmbench.cli.show_joint import joint_rows

        title, rows = joint_rows(name, recipe, task, dataset, data_dir)
        return lines(title, recipe.summary, rows)
    errors = []
    for each in [task] if task else _tasks_for(dataset):
        try:
            text = _on_task(each, name, dataset, data_dir)
        except MMBenchError as error:
            errors.append(error)
        else:
            if task is not None or dataset is not None:
                return text
            return f"{text}\n  ({each} is the first task that it fits: --task shows another)"
    raise errors[0]


def _tasks_for(dataset: str | None) -> list[str]:
    """The tasks of a dataset; or all, mmbench's own before those of other packages."""
    if dataset is not None:
        return tasks_of(dataset)
    return sorted(registry.names("tasks"), key=lambda name: not is_own("tasks", name))


def _on_task(task_name: str, name: str, dataset: str | None, data_dir: Path | None) -> str:
    from mmbench.checkpoint import read_header, shipped_weights
    from mmbench.model import parameter_counts

    task = registry.load("tasks", task_name)()
    spec = task.dataset(dataset, data_dir)
    recipe = task.resolve(load_recipe(name), spec)
    rows: dict[str, Any] = {"file": registry.path("recipes", name), "source": recipe.source}
    for key, value in recipe.settings().items():
        rows[key] = plain(value)
    if not recipe.predictor:
        shipped = shipped_weights(task.name, spec.name, name)
        if shipped.exists():
            assets = read_header(shipped).assets
            rows["weights"] = f"{shipped} ({shipped.stat().st_size / 1e6:.2f} MB)"
        else:
            for other in sorted(shipped.parent.glob("*.safetensors"))[:1]:
                _built(task, recipe, read_header(other).assets)  # whether it fits, before data
            assets = task.assets(task.load(spec, "train"))
            rows["weights"] = "none shipped: train them with --train"
        model, stages = _built(task, recipe, assets)
        counts = parameter_counts(model)
        rows["stages"] = [stage.words for stage in stages]
        parts = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        rows["parameters"] = f"{sum(counts.values()):,} ({parts})"
    return lines(f"model {name} on {task.name}/{spec.name}", recipe.summary, rows)


def _built(
    task: Task, recipe: Recipe, assets: Mapping[str, Any]
) -> tuple[TaskModel, Sequence[Stage]]:
    """A model of a resolved recipe, and the stages of its training.

    Raises: MMBenchError if it does not fit the task.
    """
    import torch

    from mmbench.training.memory import within_memory
    from mmbench.training.stages import check_stages, stages_of

    with within_memory(torch.device("cpu"), trains=False):
        model = task.build(recipe, assets)
    stages = stages_of(recipe, model)
    check_stages(stages, model, recipe.train, recipe.balance)
    return model, stages
