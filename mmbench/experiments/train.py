"""A model with its weights: read from a checkpoint, or trained now, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from mmbench.checkpoint import read_checkpoint
from mmbench.compose import ComposedModel
from mmbench.data.cache import making
from mmbench.errors import MMBenchError
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.plan import Plan
from mmbench.experiments.shared_parts import SharedPart
from mmbench.experiments.watch import Watch
from mmbench.model import TaskModel
from mmbench.recipe import Recipe, Train
from mmbench.stages import Stage
from mmbench.task import Task
from mmbench.training.loop import Trained, fit, mean_loss
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.stages import check_stages, enter, settings_of, stages_of, trainable

_VALIDATION_BATCH = 128  # groups a batch where the loss chooses the epoch, whatever inference takes


def ready_model(
    plan: Plan, device: torch.device, batch: int, state: Path, watch: Watch
) -> tuple[TaskModel, Trained | None]:
    """The model with its weights, and how it was trained if it was trained now."""
    model = built_model(plan, device)
    if plan.checkpoint is not None:
        return model, None
    stages = stages_of(plan.recipe, model)
    check_stages(stages, model, plan.recipe.train, plan.recipe.balance)
    allowed = trainable(model)
    done: list[Trained] = []
    for stage in stages:
        title = f"{plan.model} {stage.name}" if len(stages) > 1 else plan.model
        trained = _train_stage(
            plan, model, stage, allowed, title, device, batch, state / stage.name, watch
        )
        log = [{"stage": stage.name, **entry} for entry in trained.log]
        done.append(replace(trained, log=log))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(allowed[name])
    return model, replace(
        done[-1],
        seconds=sum(trained.seconds for trained in done),
        log=[entry for trained in done for entry in trained.log],
    )


def built_model(plan: Plan, device: torch.device) -> TaskModel:
    """The model with the weights of the plan's checkpoint; fresh ones where it is to be trained."""
    torch.manual_seed(plan.seed)
    if plan.checkpoint is None:
        assert plan.train is not None
        return plan.task.build(plan.recipe, plan.task.assets(plan.train)).to(device)
    return restored_model(plan.task, plan.recipe, Path(plan.checkpoint.path), device)


def restored_model(task: Task, recipe: Recipe, path: Path, device: torch.device) -> TaskModel:
    """The model of a resolved recipe, with the weights of a checkpoint.

    Raises: MMBenchError if the checkpoint cannot be read or does not fit.
    """
    checkpoint = read_checkpoint(path)
    try:
        model = task.build(recipe, checkpoint.assets)
    except (KeyError, TypeError):
        raise MMBenchError(
            f"{checkpoint.path} lacks what a {task.name} model is built from"
        ) from None
    checkpoint.restore(model)
    return model.to(device)


def _train_stage(
    plan: Plan,
    model: TaskModel,
    stage: Stage,
    allowed: Mapping[str, bool],
    title: str,
    device: torch.device,
    batch: int,
    state: Path,
    watch: Watch,
) -> Trained:
    assert plan.train is not None
    assert plan.validation is not None
    settings = settings_of(stage, plan.recipe.train)
    if settings.dropout and not isinstance(model, ComposedModel):
        raise MMBenchError(
            f"train.dropout drops features of encoded streams, and {plan.model} is composed of "
            "none: leave it at 0 (of a study that tunes, by `search: {train.dropout: [0.0]}`)"
        )
    model.dropout = settings.dropout
    torch.manual_seed(plan.seed)
    balance = plan.recipe.balance
    objectives = WeightedObjectives(stage, model, settings, balance).to(device)
    enter(stage, model, objectives, allowed)

    def train(objectives: WeightedObjectives, seed: int) -> Trained:
        return _fit(plan, model, objectives, settings, seed, title, device, batch, state, watch)

    if (decides := objectives.shared(model, plan.recipe)) is None:
        return train(objectives, plan.seed)
    shared = SharedPart(plan, stage, settings, decides, model, objectives, device)
    if (found := shared.read(model)) is not None:
        return found
    with making(shared.path):
        if (found := shared.read(model)) is not None:  # another process trained it meanwhile
            return found
        torch.manual_seed(shared.seed)  # all that share it would have trained it alike
        objectives = WeightedObjectives(stage, model, settings, balance).to(device)
        trained = train(objectives, shared.seed)
        shared.write(model, trained)
    return trained


def _fit(
    plan: Plan,
    model: TaskModel,
    objectives: WeightedObjectives,
    settings: Train,
    seed: int,
    title: str,
    device: torch.device,
    batch: int,
    state: Path,
    watch: Watch,
) -> Trained:
    assert plan.train is not None
    assert plan.validation is not None
    if title != plan.model:
        watch.began(title, plan.seed)
    # Now, so that it is not in the time of training.
    objectives.prepare(model, [*plan.train, *plan.validation])
    return fit(
        model,
        objectives,
        plan.train,
        settings,
        _validation(plan, model, objectives, settings, device, batch),
        seed=seed,
        device=device,
        folder=state,
        resume=True,
        watcher=watch,
        validation=plan.validation,
    )


def _validation(
    plan: Plan,
    model: TaskModel,
    objectives: WeightedObjectives,
    settings: Train,
    device: torch.device,
    batch: int,
) -> Callable[[], float]:
    """What gives the model's score on validation, higher is better."""
    assert plan.validation is not None
    validation = plan.validation
    metric = plan.metrics[0]
    targets = [sample.target for sample in validation]
    sign = 1.0 if metric.higher_is_better else -1.0

    def by_metric() -> float:
        predictor = ModelPredictor(model, device, batch)
        answers, _ = plan.task.conclude(
            validation, values_of(predictor, validation.queries, plan.model)
        )
        return sign * metric.aggregate(metric.statistics(answers, targets))

    def by_loss() -> float:
        return -mean_loss(model, objectives, validation, _VALIDATION_BATCH, device)

    by_task = objectives.only_task and plan.task.chosen_by == "metric"
    return by_metric if by_task else by_loss
