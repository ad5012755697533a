"""What chooses the epoch whose weights are kept: a metric on validation, or the loss there."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.metrics.base import Metric
from mmbench.recipe import Recipe
from mmbench.stages import TASK, Stage
from mmbench.task import Task

LOSS = "loss"


def choosing_metric(task: Task, metrics: Sequence[Metric], choose_by: str | None) -> Metric | None:
    """The metric that chooses the epoch of a task's own loss; None for the loss.

    Args:
        metrics: that the run reports, the first one foremost.
        choose_by: a metric's name, "loss", or None for what the task chooses by.
    Raises: MMBenchError if it is none of these.
    """
    if choose_by is None:
        return metrics[0] if task.chosen_by == "metric" else None
    if choose_by == LOSS:
        return None
    names = {metric.name: metric for metric in metrics}
    if choose_by not in names:
        raise MMBenchError(
            f"train.choose_by: {choose_by} is no metric of this run."
            f"{did_you_mean(choose_by, [*names, LOSS])} It can be chosen by {LOSS} or by what is "
            f"reported: {', '.join(names)}"
        )
    return names[choose_by]


def chosen_by(task: Task, metrics: Sequence[Metric], recipe: Recipe) -> str:
    """The signature of what chooses the epoch of the last stage of the task's own loss, or "loss".

    Raises: MMBenchError if a stage asks for what cannot choose its epoch.
    """
    chooses = choosing_metric(task, metrics, recipe.train.choose_by)
    for stage in recipe.stages:
        if "choose_by" not in stage.train:
            continue
        asked = stage.train["choose_by"]
        if not _only_task(stage) and asked not in (None, LOSS):
            raise MMBenchError(
                f"the stage {stage.name}: train.choose_by: {asked} cannot choose its epoch, since "
                f"it minimises {' and '.join(stage.objective)}: leave it out, or say {LOSS}"
            )
        own = choosing_metric(task, metrics, asked)
        chooses = own if _only_task(stage) else chooses
    return chooses.signature if chooses is not None else LOSS


def _only_task(stage: Stage) -> bool:
    return list(stage.objective) == [TASK]
