"""What `mmbench list` prints: a line a name, of one kind, or of what belongs to a task."""

from __future__ import annotations

from mmbench import registry
from mmbench.cli import fusions
from mmbench.elsewhere import forms
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.reports.escape import one_line
from mmbench.sources import class_value, home_of

LISTED = {
    "tasks": "tasks",
    "datasets": "datasets",
    "models": "recipes",
    "encoders": "encoders",
    "fusions": "fusions",
    "late_fusions": "late_fusions",
    "decoders": "decoders",
    "objectives": "objectives",
    "balance": "balance",
    "metrics": "metrics",
    "corruptions": "corruptions",
    "predictors": "predictors",
    "readers": "readers",
    "loggers": "loggers",
}
OF_A_TASK = ("datasets", "metrics")


def list_text(what: str | None, task: str | None = None) -> str:
    """A line a name: the name and what it is.

    Args:
        what: a key of `LISTED`.
        task: of datasets and metrics, only what is this task's.
    Raises: MMBenchError for what is not listed, or not by task; for an unknown task.
    """
    what = "models" if what == "recipes" else what
    if what is None:
        raise MMBenchError(f"what is to be listed? There are {', '.join(LISTED)}.")
    if what not in LISTED:
        raise MMBenchError(
            f"cannot list '{what}'.{did_you_mean(what, LISTED)} There are {', '.join(LISTED)}."
        )
    kind = LISTED[what]
    names = registry.names(kind)
    if task is not None:
        if kind not in OF_A_TASK:
            raise MMBenchError(
                f"{what} are not listed by task: drop --task {task}, or list "
                f"{' or '.join(OF_A_TASK)}"
            )
        registry.check("tasks", task)
        names = [name for name in names if _is_of(kind, name, task)]
        if not names:
            raise MMBenchError(f"there are no {what} of the task {task}")
    if kind in fusions.KINDS:
        return fusions.list_text(kind)
    rows = [(one_line(name), _about(kind, name)) for name in names]
    if kind == "recipes":  # models from elsewhere are named, and need none
        rows += [(form, registry.summary("predictors", name)) for name, form in forms().items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {one_line(summary)}" for name, summary in rows)


def _is_of(kind: str, name: str, task: str) -> bool:
    """Whether a dataset belongs to a task, or a metric judges its answers.

    A metric says so itself, or stands in the task's own package, or the task or a dataset names it.
    """
    from mmbench.data.dataset import tasks_of

    if kind == "datasets":
        return task in tasks_of(name)
    home, cls = registry.location("tasks", task)
    module, attribute = registry.location(kind, name)
    if task in (class_value(*home_of(module, attribute), "tasks", inherited=True) or ()):
        return True
    package = home.rpartition(".")[0]
    if package and module.startswith(f"{package}."):
        return True
    return name in (class_value(home, cls, "metrics") or ())


def _about(kind: str, name: str) -> str:
    """What something is, or why it is not there."""
    lost = "" if kind in registry.FILE_KINDS else registry.broken(kind, name)
    return lost or registry.summary(kind, name)
