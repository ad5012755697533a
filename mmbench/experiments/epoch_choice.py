"""What chooses the epoch whose weights are kept: a metric on validation, or the loss there."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.errors import MMBenchError
from mmbench.experiments.score import load_metrics
from mmbench.metrics.base import Metric
from mmbench.recipe import Recipe
from mmbench.stages import TASK, Stage
from mmbench.task import Task

LOSS = "loss"
JOINT_LOSS = "mean relative loss"  # of several tasks, each by its own after the first epoch


def choosing_metric(
    task: Task, metrics: Sequence[Metric], choose_by: str | None, allow_hub_code: bool = False
) -> Metric | None:
    """The metric that chooses the epoch of a task's own loss; None for the loss.

    Args:
        metrics: that the run reports, the first one foremost.
        choose_by: a metric's name, "loss", or None for what the task chooses by.
        allow_hub_code: as of `load_metrics`.
    Raises: MMBenchError if it is none of these.
    """
    if choose_by is None:
        return metrics[0] if task.chosen_by == "metric" else None
    if choose_by == LOSS:
        return None
    reported = {metric.name: metric for metric in metrics}
    if choose_by in reported:
        return reported[choose_by]
    try:
        return load_metrics([choose_by], allow_hub_code)[0]
    except MMBenchError as error:
        raise MMBenchError(f"train.choose_by, a metric or {LOSS}: {error}") from None


def chosen_by(
    task: Task, metrics: Sequence[Metric], recipe: Recipe, allow_hub_code: bool = False
) -> str:
    """The signature of what chooses the epoch of the last stage of the task's own loss, or "loss".

    Raises: MMBenchError if a stage asks for what cannot choose its epoch.
    """
    chooses = choosing_metric(task, metrics, recipe.train.choose_by, allow_hub_code)
    for stage in recipe.stages:
        if "choose_by" not in stage.train:
            continue
        asked = stage.train["choose_by"]
        if not _only_task(stage) and asked not in (None, LOSS):
            raise MMBenchError(
                f"the stage {stage.name}: train.choose_by: {asked} cannot choose its epoch, since "
                f"it minimises {' and '.join(stage.objective)}: leave it out, or say {LOSS}"
            )
        own = choosing_metric(task, metrics, asked, allow_hub_code)
        chooses = own if _only_task(stage) else chooses
    return chooses.signature if chooses is not None else LOSS


def joint_chosen_by(
    task: Task, metrics: Sequence[Metric], recipe: Recipe, allow_hub_code: bool = False
) -> str:
    """What chooses the epoch of several tasks that are trained together.

    Raises: MMBenchError if the recipe asks for anything else.
    """
    stages = [stage.train["choose_by"] for stage in recipe.stages if "choose_by" in stage.train]
    for asked in (recipe.train.choose_by, *stages):
        if asked not in (None, LOSS):
            raise MMBenchError(
                f"train.choose_by: {asked} cannot choose the epoch of several tasks, which the "
                f"mean of their losses on validation does: leave it out, or say {LOSS}"
            )
    return JOINT_LOSS


def _only_task(stage: Stage) -> bool:
    return list(stage.objective) == [TASK]
