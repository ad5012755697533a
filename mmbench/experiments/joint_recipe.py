"""A recipe whose model is trained on several tasks at once: as each of them is to read it."""

from __future__ import annotations

from collections.abc import Sequence

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.recipe import Recipe
from mmbench.request import RunRequest
from mmbench.stages import TASK, Stage, StageObjective

JOINT = "joint"  # the stage of a recipe that names none


def recipe_of_several(
    recipe: Recipe, request: RunRequest, task: str, together: Sequence[str]
) -> Recipe:
    """The recipe as one of its tasks reads it: with the encoders of modalities that it has.

    A recipe without such a stage gets one, in which all tasks weigh alike, where several are asked
    for.

    Args:
        recipe: not resolved yet.
        request: of the run.
        task: the one.
        together: all that are asked for at once; none where the task is asked for alone.
    Raises: MMBenchError if training is asked for and the recipe trains other tasks together, or
        cannot be trained on several.
    """
    if together:
        recipe = _trainable(recipe, request.model, together)
    if (stage := recipe.joint) is None:
        return recipe
    if request.train and set(stage.tasks) != set(together or [task]):
        raise _other_tasks(request.model, stage, together or [task])
    known = {name: registry.load("tasks", name).encoders for name in {*stage.tasks, task}}
    others = {modality for encoders in known.values() for modality in encoders}
    own = {
        modality: part
        for modality, part in recipe.encoders.items()
        if modality in known[task] or modality not in others
    }
    return recipe.model_copy(update={"encoders": own})


def _trainable(recipe: Recipe, model: str, together: Sequence[str]) -> Recipe:
    """A recipe that several tasks can be trained by, with a stage that does so."""
    names = " and ".join(together)
    if recipe.predictor:
        raise MMBenchError(f"{model} is not trained, so {names} cannot share its weights")
    if recipe.balance:
        raise MMBenchError(
            f"balance: {recipe.balance.name} changes the gradients of one task's own loss, and "
            f"{names} are trained together: drop it"
        )
    if recipe.fusion and registry.has("late_fusions", recipe.fusion.name):
        raise MMBenchError(
            f"{recipe.fusion.name} joins the decisions of a classifier per modality, which {names} "
            "cannot share: choose one of `mmbench list fusions`"
        )
    if of_task := [stage.name for stage in recipe.stages if TASK in stage.objective]:
        raise MMBenchError(
            f"the stage {of_task[0]} minimises {TASK}, and {names} are trained together: name them "
            "as its objective, with their weights"
        )
    if recipe.joint is None:
        objective = {name: StageObjective() for name in sorted(together)}
        stage = Stage(name=JOINT, objective=objective)
        return recipe.model_copy(update={"stages": [*recipe.stages, stage]})
    data = recipe.joint.data
    own = ("share", "split", "validation", "data_dir")
    if odd := [key for key in (data.changed() if data else ()) if key not in own]:
        raise MMBenchError(
            f"the stage {recipe.joint.name} trains {names} on samples of their own, of which its "
            f"data may name a share or a split: drop data.{odd[0]}"
        )
    if (last := recipe.stages[-1]) is not recipe.joint:
        raise MMBenchError(
            f"the stage {last.name} comes after {recipe.joint.name}, which trains {names} "
            "together, and would change what that was trained on: put it before"
        )
    return recipe


def _other_tasks(model: str, stage: Stage, asked: Sequence[str]) -> MMBenchError:
    """The error of a recipe that trains other tasks together than those that are asked for."""
    alone = ", ".join(f"{name}: 1" for name in sorted(asked))
    instead = f"{{name: {stage.name}, objective: {{{alone}}}}}" if len(asked) > 1 else ""
    missing = [name for name in stage.tasks if name not in asked]
    more = [name for name in sorted(asked) if name not in stage.tasks]
    said = [f"{' and '.join(missing)} not asked for"] if missing else []
    said += [f"{' and '.join(more)} not among them"] if more else []
    return MMBenchError(
        f"the stage {stage.name} of {model} trains {', '.join(stage.tasks)} together, with "
        f"{'; '.join(said)}: give --task {','.join(stage.tasks)}, or "
        + (
            f"--set 'stages=[{instead}]'"
            if instead
            else f"another model for {asked[0]}, or its weights (--checkpoint)"
        )
    )
