"""One training of a model of several tasks: what comes before, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from mmbench.checkpoint import MODELS, Checkpoint, read_checkpoint
from mmbench.errors import MMBenchError
from mmbench.experiments.beginning import assets_of, begin_from
from mmbench.experiments.epoch_choice import JOINT_LOSS
from mmbench.experiments.plan import Plan
from mmbench.experiments.train import (
    VALIDATION_BATCH,
    Ready,
    drop_features,
    in_one,
    joint_entry,
    notes_of,
    train_stage,
)
from mmbench.experiments.watch import Watch
from mmbench.joint_model import WORDS, JointModel, with_words_of_all
from mmbench.model import TaskModel
from mmbench.recipe import Recipe
from mmbench.stages import Stage
from mmbench.training.held_out import mean_loss
from mmbench.training.joint import Conflict, JointBatches, JointObjectives, together
from mmbench.training.loop import Trained, fit
from mmbench.training.stage_batches import StageBatches
from mmbench.training.stages import (
    check_exists,
    check_stages,
    enter,
    own_stages,
    settings_of,
    trainable,
)


def ready_models(
    plans: Mapping[str, Plan], device: torch.device, batch: int, state: Path, watch: Watch
) -> dict[str, Ready]:
    """By task, its model with the weights that are trained now for all of them.

    Args:
        plans: of the tasks, sorted by name.
        batch: groups a batch where answers choose an epoch.
        state: the folder of the training's state.
    """
    first = next(iter(plans.values()))
    torch.manual_seed(first.seed)
    assets = with_words_of_all({name: assets_of(plan) for name, plan in plans.items()})
    recipes = {name: plan.recipe for name, plan in plans.items()}
    tasks = {name: plan.task for name, plan in plans.items()}
    model = JointModel(tasks, recipes, assets)
    about = _about(plans)
    checkpoint = Checkpoint(
        tensors={},
        recipe=_whole(recipes).settings() | {"tasks": _settings(recipes)},
        assets=_whole_assets(assets),
        about=about,
    )
    before, joint = _stages(plans, model)
    notes: list[str] = []
    if first.init is not None:
        begun = begin_from(
            model,
            read_checkpoint(Path(first.init.path)),
            _whole(recipes),
            checkpoint.assets,
            recipes,
        )
        notes = [f"begins from {first.init.path} (sha256 {first.init.sha256[:16]}): {begun.words}"]
        watch.says(notes[0])
    model = model.to(device)
    allowed = trainable(model)
    done: list[Trained] = []
    for task, stage in before:
        own = {name: p.requires_grad for name, p in model.of(task).named_parameters()}
        title = f"{first.model} {stage.name}"
        folder = state / stage.name
        done.append(
            train_stage(
                plans[task], model.of(task), stage, own, title, device, batch, folder, watch, notes
            )
        )
        for name, parameter in model.of(task).named_parameters():
            parameter.requires_grad_(own[name])
    if before:
        watch.began(f"{first.model} {joint.name}", first.seed)
    done.append(_train_together(plans, model, joint, allowed, device, state / joint.name, watch))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(allowed[name])
    stages = [*(stage for _, stage in before), joint]
    trained = in_one(stages, done)
    notes += [*notes_of(stages, done, first.recipe), *_notes(trained)]
    checkpoint = replace(checkpoint, tensors=model.state_dict())
    return {
        name: Ready(
            model.of(name),
            replace(trained, train_samples=len(plan.trained_on(joint.name)[0])),
            assets[name],
            [_beside(name, plans), *notes],
            joint_entry(model, about),
            checkpoint,
        )
        for name, plan in plans.items()
    }


def _whole_assets(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The assets of all tasks, as a checkpoint keeps them."""
    words = next((a[WORDS] for a in assets.values() if isinstance(a.get(WORDS), list)), None)
    return {"tasks": dict(assets)} | ({} if words is None else {WORDS: words})


def _whole(recipes: Mapping[str, Recipe]) -> Recipe:
    """What all tasks have in common: their encoders and their fusion."""
    encoders = {m: part for recipe in recipes.values() for m, part in recipe.encoders.items()}
    first = next(iter(recipes.values()))
    return first.model_copy(update={"encoders": encoders, "decoder": None})


def _settings(recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    return {name: recipe.settings() for name, recipe in recipes.items()}


def _about(plans: Mapping[str, Plan]) -> dict[str, Any]:
    first = next(iter(plans.values()))
    tasks = {}
    for name, plan in plans.items():
        assert plan.train is not None
        tasks[name] = {"dataset": plan.dataset.name, "fingerprint": plan.train.fingerprint}
    return {"tasks": tasks, "model": first.model, "seed": first.seed}


def _stages(plans: Mapping[str, Plan], model: JointModel) -> tuple[list[tuple[str, Stage]], Stage]:
    """What comes before, each on the samples of one task, and the stage of all of them.

    First the recipe's own, then what parts need before they can be trained; these stay as they
    are afterwards.

    Raises: MMBenchError for a stage that fits no task's model.
    """
    recipe = next(iter(plans.values())).recipe
    joint = recipe.joint
    assert joint is not None
    before = [(_whose(stage, plans, model), stage) for stage in recipe.stages if stage is not joint]
    named = {stage.name for _, stage in before}
    settled = []
    for task in plans:
        for stage in own_stages(model.of(task)):
            settled += [f"{MODELS}.{task}.{part}" for part in stage.trains or ()]
            if stage.name not in named:
                before.append((task, stage))
                _check(stage, plans[task], model.of(task))
    joint = joint.model_copy(update={"freezes": list(dict.fromkeys([*joint.freezes, *settled]))})
    for part in [*(joint.trains or ()), *joint.freezes]:
        check_exists(part, joint, cast(TaskModel, model))
    return before, joint


def _whose(stage: Stage, plans: Mapping[str, Plan], model: JointModel) -> str:
    """The task whose model a stage trains: the first that it fits, that of its data before others.

    Raises: MMBenchError if it fits none: why not the first.
    """
    named = stage.data.task if stage.data else None
    errors = []
    for task in sorted(plans, key=lambda name: name != named):
        try:
            _check(stage, plans[task], model.of(task))
        except MMBenchError as error:
            errors.append(error)
        else:
            return task
    raise errors[0]


def _check(stage: Stage, plan: Plan, model: TaskModel) -> None:
    samples = {stage.name: plan.trained_on(stage.name)[0]}
    check_stages([stage], model, plan.recipe.train, None, samples)


def _train_together(
    plans: Mapping[str, Plan],
    model: JointModel,
    stage: Stage,
    allowed: Mapping[str, bool],
    device: torch.device,
    state: Path,
    watch: Watch,
) -> Trained:
    """Train all tasks; the epoch with the least mean of their relative losses is kept."""
    seed = next(iter(plans.values())).seed
    models = {name: model.of(name) for name in plans}
    settings = {name: settings_of(stage, plan.recipe.train) for name, plan in plans.items()}
    of_all = together(stage, settings)
    samples, validation = {}, {}
    for name, plan in plans.items():
        drop_features(plan, models[name], settings[name])
        samples[name], validation[name] = plan.trained_on(stage.name)
    torch.manual_seed(seed)
    objectives = JointObjectives(stage, models, settings).to(device)
    enter(stage, model, objectives, allowed)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise MMBenchError(
            f"the stage {stage.name} trains nothing: all of "
            f"{', '.join(stage.trains or ['the model'])} is frozen"
        )
    both = {name: [*samples[name], *validation[name]] for name in plans}
    objectives.prepare_all(both)
    batches = JointBatches(
        {
            name: StageBatches(
                models[name],
                samples[name],
                settings[name].model_copy(update={"epochs": of_all.epochs}),
                seed,
                device,
            )
            for name in plans
        },
        {name: stage.objective[name].weight for name in plans},
        seed,
    )
    conflict = Conflict(objectives, models, samples, settings, seed, device)
    found: dict[str, float] = {}

    def score() -> float:
        for name, held_out in validation.items():
            found[name] = mean_loss(
                models[name], objectives.of[name], held_out, VALIDATION_BATCH, device
            )
        return -objectives.relative(list(found.values()))

    def tells() -> dict[str, Any]:
        return {"validation_losses": dict(found), "conflict": conflict.measure()}

    return fit(
        cast(TaskModel, model),  # of which `JointObjectives` asks nothing: it knows the tasks' own
        objectives,
        [sample for some in samples.values() for sample in some],
        of_all,
        score,
        seed=seed,
        device=device,
        folder=state,
        resume=True,
        watcher=watch,
        chosen_by=JOINT_LOSS,
        lower_is_better=True,
        batches=batches,
        tells=tells,
    )


def _beside(task: str, plans: Mapping[str, Plan]) -> str:
    """In words, what else a record's weights were trained on."""
    others = [f"{name} ({p.dataset.name})" for name, p in plans.items() if name != task]
    return f"one set of weights, trained together for {' and '.join(others)}"


def _notes(trained: Trained) -> list[str]:
    """How far the tasks' gradients agreed in the epoch whose weights are kept."""
    entries = [entry for entry in trained.log if "conflict" in entry]
    kept = next((e for e in entries if e["epoch"] == trained.best_epoch), None)
    if not kept or not kept["conflict"]:
        return []
    shown = ", ".join(f"{pair} {value:+.2f}" for pair, value in kept["conflict"].items())
    return [f"cosine of the tasks' gradients on what they share: {shown}"]
