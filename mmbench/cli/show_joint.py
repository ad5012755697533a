"""What `mmbench show` prints of a recipe that trains several tasks together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.joint_plan import requests_of
from mmbench.experiments.joint_recipe import recipe_of_several
from mmbench.joint_model import JointModel, with_words_of_all
from mmbench.model import parameter_counts
from mmbench.recipe import Recipe
from mmbench.request import run_request
from mmbench.training.memory import within_memory
from mmbench.training.stages import own_stages


def joint_rows(
    name: str, recipe: Recipe, task: str | None, dataset: str | None, data_dir: Path | None
) -> tuple[str, dict[str, Any]]:
    """A title, and what is known of a recipe that trains several tasks together.

    Args:
        name: the recipe's.
        recipe: not resolved.
        task: that it is asked for; it must be one of these.
        dataset, data_dir: as of a run.
    Raises: MMBenchError if the task is none of these, or the tasks do not fit together.
    """
    assert recipe.joint is not None
    tasks = recipe.joint.tasks
    if task is not None and task not in tasks:
        raise MMBenchError(
            f"{name} is trained for {', '.join(tasks)} together, and not for {task}: drop --task"
        )
    settings = {"dataset": dataset, "data_dir": data_dir, "train": True}
    requests = requests_of(run_request(task=",".join(tasks), model=name, **settings))
    found, recipes, assets = {}, {}, {}
    for each, request in requests.items():
        found[each] = registry.load("tasks", each)()
        spec = found[each].dataset(request.dataset, data_dir)
        own = recipe_of_several(recipe, request, each, tasks)
        recipes[each] = found[each].resolve(own, spec)
        samples = found[each].load(found[each].adapt(spec, recipes[each]), "train")
        assets[each] = found[each].assets(samples)
    with within_memory(torch.device("cpu"), trains=False):
        model = JointModel(found, recipes, with_words_of_all(assets))
        alone = {
            each: sum(parameter_counts(found[each].build(recipes[each], assets[each])).values())
            for each in tasks
        }
    first = recipes[tasks[0]]
    encoders = {m: part for own in recipes.values() for m, part in own.encoders.items() if part}
    whole = sum(parameter_counts(model).values())
    shared = {part: n for part, n in parameter_counts(model).items() if part != "models"}
    rows = {
        "file": registry.path("recipes", name),
        "source": recipe.source,
        "fusion": first.fusion.name if first.fusion else None,
        "width": first.width,
        "encoders": ", ".join(f"{m}: {part.name}" for m, part in encoders.items()),
        "decoders": ", ".join(f"{t}: {r.decoder.name}" for t, r in recipes.items() if r.decoder),
        "stages": [
            *(stage.words for stage in recipe.stages if stage is not recipe.joint),
            *(f"{s.words} (of {t})" for t in tasks for s in own_stages(model.of(t))),
            recipe.joint.words,
        ],
        "parameters": [
            f"{whole:,} for all tasks, {whole / sum(alone.values()):.2f} of the "
            f"{sum(alone.values()):,} that a model for each takes",
            "shared: " + ", ".join(f"{part} {count:,}" for part, count in shared.items()),
            *(
                f"{each}: {sum(parameter_counts(model.of(each)).values()):,} (alone "
                f"{alone[each]:,})"
                for each in tasks
            ),
        ],
    }
    datasets = sorted({str(request.dataset) for request in requests.values()})
    return f"model {name} on {', '.join(tasks)} of {', '.join(datasets)}", rows
