"""Which stages a model is trained in, what each trains, and whether that can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.model import TaskModel
from mmbench.recipe import Part, Recipe, Train
from mmbench.stages import TASK, Stage, is_within
from mmbench.training.bootstrapping import BOOTSTRAPPED, check_bootstrapping
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.yaml_file import validate


def stages_of(recipe: Recipe, model: TaskModel) -> list[Stage]:
    """The recipe's stages, or the task's own loss alone; before that what parts need by themselves.

    What a part trains in stages of its own stays as it is afterwards. A recipe that has a stage of
    the same name says by that how the part is trained.
    """
    asked = recipe.stages or [Stage(name=TASK, objective=TASK)]  # type: ignore[arg-type]
    own = own_stages(model)
    names = [stage.name for stage in asked]
    at = next((i for i, stage in enumerate(asked) if TASK in stage.objective), len(asked))
    before = [stage for stage in own if stage.name not in names[:at]]
    settled = [part for stage in own for part in stage.trains or ()]
    after = [
        stage.model_copy(update={"freezes": list(dict.fromkeys([*stage.freezes, *settled]))})
        for stage in asked[at:]
    ]
    return [*asked[:at], *(before if after else ()), *after]


def own_stages(model: TaskModel) -> list[Stage]:
    """What the model's parts need to be trained before the rest, by the names of the model."""
    found = []
    for prefix, module in model.named_modules():
        for own in getattr(module, "own_stages", list)():
            stage = validate(Stage, own, f"own_stages of {prefix}")
            parts = {"trains": [f"{prefix}.{part}" for part in stage.trains or ()]}
            found.append(stage.model_copy(update=parts))
    return found


def settings_of(stage: Stage, train: Train) -> Train:
    """The recipe's settings of training, with those that the stage changes."""
    return validate(Train, train.model_dump(exclude_unset=True) | stage.train, stage.name)


def check_stages(
    stages: Sequence[Stage],
    model: TaskModel,
    train: Train,
    balance: Part | None = None,
    samples: Mapping[str, Sequence[Sample]] | None = None,
) -> None:
    """Check that every stage can be carried out, before the first one is.

    Args:
        stages: in their order.
        model: that they train.
        train: the recipe's settings of training.
        balance: the recipe's.
        samples: what each stage is trained on, by its name.
    Raises: MMBenchError for an objective that does not exist, cannot train this model or finds
        nothing in the data, a part that does not exist, a stage that trains nothing or undoes an
        earlier one, or a balance that nothing is trained by.
    """
    _check_order(stages)
    if balance is not None and not any(TASK in stage.objective for stage in stages):
        raise MMBenchError(
            f"balance: {balance.name} has no effect, since no stage minimises task: drop it"
        )
    with torch.random.fork_rng(devices=[]):  # what objectives draw here leaves the run as it is
        for place, stage in enumerate(stages):
            learnt = None if samples is None else samples[stage.name]
            if stage.data is not None and stage.data.captions == BOOTSTRAPPED:
                check_bootstrapping(stage, stages[:place], model, learnt)
            objectives = WeightedObjectives(stage, model, settings_of(stage, train), balance)
            _check_accumulation(stage, settings_of(stage, train), balance)
            if learnt is not None:
                objectives.check(model, learnt)
                _check_neighbours(stage, model, settings_of(stage, train), learnt)
            for part in [*(stage.trains or ()), *stage.freezes]:
                check_exists(part, stage, model)
            reached = [n for n, _ in model.named_parameters() if objectives.reach(n)]
            names = stage.trained(reached)
            if not names:
                parts = ", ".join(stage.trains or ["all"])
                raise MMBenchError(
                    f"the stage {stage.name} trains nothing: {' and '.join(stage.objective)} "
                    f"reaches nothing of what it trains ({parts}) and does not freeze"
                )
            if not any(p.requires_grad for n, p in model.named_parameters() if n in names):
                raise MMBenchError(
                    f"the stage {stage.name} trains nothing: what it trains "
                    f"({', '.join(stage.trains or ['all'])}) is frozen by its own options"
                )


def _check_order(stages: Sequence[Stage]) -> None:
    """Refuse what comes after the task's own loss and changes what that has learnt to use."""
    of_task = [place for place, stage in enumerate(stages) if TASK in stage.objective]
    if not of_task or of_task[-1] == len(stages) - 1:
        return
    last, after = stages[of_task[-1]], stages[of_task[-1] + 1]
    raise MMBenchError(
        f"the stage {after.name} ({', '.join(after.objective)}) comes after {last.name}, the last "
        f"that minimises task, and would change what that was trained on: put it before "
        f"{last.name}, or a stage of task behind it"
    )


def _check_accumulation(stage: Stage, settings: Train, balance: Part | None) -> None:
    if settings.accumulate > 1 and balance is not None and TASK in stage.objective:
        raise MMBenchError(
            f"train.accumulate: {settings.accumulate} cannot go with balance: {balance.name}, "
            "which changes the gradients of each batch by itself: leave it at 1"
        )


def _check_neighbours(
    stage: Stage, model: TaskModel, settings: Train, samples: Sequence[Sample]
) -> None:
    """Refuse samples that the model cannot compare, where it is to find those that are alike."""
    mined = settings.neighbours > 1 and settings.neighbours_by == "model"
    if not mined or settings.epochs - 1 < settings.neighbours_from * settings.epochs:
        return
    some = [sample for sample in samples if sample.group == samples[0].group]
    try:
        model.collate_training(some, np.random.default_rng(0))
    except MMBenchError as error:
        raise MMBenchError(
            f"the stage {stage.name}: train.neighbours: {settings.neighbours} asks the model which "
            f"of its samples are alike: {error}. Set train: {{neighbours: 1}} of the stage"
        ) from None


def check_exists(part: str, stage: Stage, model: nn.Module) -> None:
    """Raise MMBenchError if a stage names a part that the model does not have."""
    modules = [name for name, _ in model.named_modules() if name]
    known = [*modules, *(name for name, _ in model.named_parameters())]
    if not any(is_within(name, part) for name in known):
        parts = [name for name in modules if name.count(".") < 2]
        raise MMBenchError(
            f"the stage {stage.name} names {part}, which is not a part of this model."
            f"{did_you_mean(part, known)} Its parts are {', '.join(parts)}."
        )


def trainable(model: nn.Module) -> Mapping[str, bool]:
    """Of a new model, by name, which parameters its parts let be trained at all."""
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def enter(
    stage: Stage, model: nn.Module, objectives: WeightedObjectives, allowed: Mapping[str, bool]
) -> None:
    """Train from now on what the stage trains and its objectives reach, and freeze the rest.

    Args:
        allowed: see `trainable`; what a part froze stays frozen.
    """
    model.zero_grad(set_to_none=True)  # what is frozen now must not count in the clipped norm
    chosen = set(stage.trained([name for name in allowed if objectives.reach(name)]))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(allowed[name] and name in chosen)
