"""A model with its weights: read from a checkpoint, or trained now, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmbench.checkpoint import Checkpoint, Header, read_checkpoint
from mmbench.compose import ComposedModel
from mmbench.data.cache import making
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.answers import values_of
from mmbench.experiments.beginning import assets_of, begin_from
from mmbench.experiments.epoch_choice import LOSS, choosing_metric
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.kept_captions import kept_captions
from mmbench.experiments.plan import Plan
from mmbench.experiments.shared_parts import SharedPart
from mmbench.experiments.watch import Watch
from mmbench.joint_model import JointModel, restored_joint_model
from mmbench.model import TaskModel, parameter_counts
from mmbench.processes import here
from mmbench.recipe import Recipe, Train
from mmbench.records.record import JointEntry
from mmbench.stages import Stage
from mmbench.task import Task
from mmbench.training.bootstrapping import BOOTSTRAPPED
from mmbench.training.held_out import mean_loss, measured
from mmbench.training.loop import Trained, fit
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.stages import check_stages, enter, settings_of, stages_of, trainable

VALIDATION_BATCH = 128  # groups a batch where the loss chooses the epoch, whatever inference takes


class Ready(NamedTuple):
    """A model with its weights.

    Attributes:
        model: on the device.
        trained: how it was trained; None if it was not trained now.
        assets: what it knows besides its weights.
        notes: what the record should say of its training.
        joint: of weights that answer other tasks too, the whole of them.
        checkpoint: that keeps the weights of all these tasks, where they were trained now.
    """

    model: TaskModel
    trained: Trained | None
    assets: Mapping[str, Any]
    notes: Sequence[str] = ()
    joint: JointEntry | None = None
    checkpoint: Checkpoint | None = None


def ready_model(plan: Plan, device: torch.device, batch: int, state: Path, watch: Watch) -> Ready:
    """The model with its weights, trained now if they are not read."""
    if plan.checkpoint is not None:
        return _restored(plan, plan.checkpoint, device)
    torch.manual_seed(plan.seed)
    assets = assets_of(plan)
    model = plan.task.build(plan.recipe, assets)
    stages = stages_of(plan.recipe, model)
    learnt = {stage.name: plan.trained_on(stage.name)[0] for stage in stages}
    check_stages(stages, model, plan.recipe.train, plan.recipe.balance, learnt)
    notes: list[str] = []
    if plan.init is not None:
        checkpoint = read_checkpoint(Path(plan.init.path)).of(plan.task.name)
        begun = begin_from(model, checkpoint, plan.recipe, assets)
        notes = [f"begins from {plan.init.path} (sha256 {plan.init.sha256[:16]}): {begun.words}"]
        watch.says(notes[0])
    model = model.to(device)
    allowed = trainable(model)
    done: list[Trained] = []
    for stage in stages:
        title = f"{plan.model} {stage.name}" if len(stages) > 1 else plan.model
        trained = train_stage(
            plan, model, stage, allowed, title, device, batch, state / stage.name, watch, notes
        )
        done.append(trained)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(allowed[name])
    notes += notes_of(stages, done, plan.recipe)
    return Ready(model, in_one(stages, done), assets, notes)


def in_one(stages: Sequence[Stage], done: Sequence[Trained]) -> Trained:
    """The last training, with the time and the log of all: each entry says its stage."""
    log = []
    for stage, trained in zip(stages, done, strict=True):
        entries = [{"stage": stage.name, **entry} for entry in trained.log]
        if trained.measured:
            entries[-1]["measured"] = trained.measured
        log += entries
    return replace(done[-1], seconds=sum(trained.seconds for trained in done), log=log)


def notes_of(stages: Sequence[Stage], done: Sequence[Trained], recipe: Recipe) -> list[str]:
    """What the record should say of the trainings of stages."""
    pairs = list(zip(stages, done, strict=True))
    measured = [
        f"stage {stage.name} on validation: {_in_words(trained.measured)}"
        for stage, trained in pairs
        if trained.measured
    ]
    return [*measured, *(note for pair in pairs if (note := _early(*pair, recipe)))]


def _early(stage: Stage, trained: Trained, recipe: Recipe) -> str:
    """In words, that the patience of a stage ended it before its last epoch; "" if it did not."""
    settings, epochs = settings_of(stage, recipe.train), len(trained.log)
    if epochs == settings.epochs:
        return ""
    return (
        f"stage {stage.name} ended after epoch {epochs} of {settings.epochs}: "
        f"{settings.patience} without gain on validation (train.patience)"
    )


def _in_words(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in measured.items())


def built_model(plan: Plan, device: torch.device) -> TaskModel:
    """The model with the weights of the plan's checkpoint; fresh ones where it is to be trained."""
    torch.manual_seed(plan.seed)
    if plan.checkpoint is None:
        return plan.task.build(plan.recipe, assets_of(plan)).to(device)
    return restored_model(plan.task, plan.recipe, Path(plan.checkpoint.path), device)


def _restored(plan: Plan, header: Header, device: torch.device) -> Ready:
    """The plan's model with the weights of its checkpoint; of one of several tasks, the whole."""
    checkpoint = read_checkpoint(Path(header.path))
    if len(checkpoint.tasks) == 1:
        return Ready(built_model(plan, device), None, header.assets)
    whole = restored_joint_model(checkpoint, {plan.task.name: plan.recipe}).to(device)
    return Ready(
        whole.of(plan.task.name), None, header.assets, joint=joint_entry(whole, checkpoint.about)
    )


def joint_entry(model: JointModel, about: Mapping[str, Any]) -> JointEntry:
    """The whole of a model of several tasks, as their records have it.

    Args:
        about: what its checkpoint says of itself.
    """
    datasets = {name: facts["dataset"] for name, facts in about["tasks"].items()}
    return JointEntry(tasks=datasets, parameters=sum(parameter_counts(model).values()))


def restored_model(task: Task, recipe: Recipe, path: Path, device: torch.device) -> TaskModel:
    """The model of a resolved recipe, with the weights of a checkpoint, of several tasks or one.

    Raises: MMBenchError if the checkpoint cannot be read or does not fit.
    """
    checkpoint = read_checkpoint(path)
    if len(checkpoint.tasks) > 1:
        return restored_joint_model(checkpoint, {task.name: recipe}).to(device).of(task.name)
    try:
        model = task.build(recipe, checkpoint.assets)
    except (KeyError, TypeError):
        raise MMBenchError(
            f"{checkpoint.path} lacks what a {task.name} model is built from"
        ) from None
    checkpoint.restore(model)
    return model.to(device)


def train_stage(
    plan: Plan,
    model: TaskModel,
    stage: Stage,
    allowed: Mapping[str, bool],
    title: str,
    device: torch.device,
    batch: int,
    state: Path,
    watch: Watch,
    notes: list[str],
) -> Trained:
    """Train a model in one stage, on the samples that the plan has for it, or read what it trained.

    Args:
        allowed: which of its parameters its parts let be trained.
        title: what progress calls the stage.
        batch: groups a batch where answers choose the epoch.
        state: the folder of its state.
        notes: what the record should say of it is added to these.
    """
    settings = settings_of(stage, plan.recipe.train)
    drop_features(plan, model, settings)
    samples, validation = plan.trained_on(stage.name)
    if stage.data is not None and stage.data.captions == BOOTSTRAPPED:
        _check_processes(stage, "a model that makes its own captions is asked by one process")
        right = plan.sources[stage.name].right
        samples, kept = kept_captions(model, samples, right, device, state)
        notes.append(f"stage {stage.name}: {kept.words}")
        watch.says(notes[-1])
    torch.manual_seed(plan.seed)
    balance = plan.recipe.balance
    objectives = WeightedObjectives(stage, model, settings, balance).to(device)
    _check_processes(stage, objectives.why_one_process(model))
    enter(stage, model, objectives, allowed)

    def train(objectives: WeightedObjectives, seed: int) -> Trained:
        if title != plan.model:
            watch.began(title, plan.seed)
        # Now, so that it is not in the time of training.
        objectives.prepare(model, [*samples, *validation])
        choice = _validation(plan, model, objectives, settings, validation, device, batch)
        if choice.name not in (LOSS, *(metric.name for metric in plan.metrics)):
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                choice.score()  # a metric that does not suit these answers says so now
        trained = fit(
            model,
            objectives,
            samples,
            settings,
            choice.score,
            seed=seed,
            device=device,
            folder=state,
            resume=True,
            watcher=watch,
            validation=validation,
            chosen_by=choice.name,
            lower_is_better=choice.lower_is_better,
        )
        told = measured(model, objectives, validation, VALIDATION_BATCH, device)
        return replace(trained, measured=told)

    if (decides := objectives.shared(model, plan.recipe)) is None or here().several:
        return train(objectives, plan.seed)
    learnt = samples, validation
    shared = SharedPart(plan, stage, settings, decides, model, objectives, learnt, device)
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


def _check_processes(stage: Stage, why: str) -> None:
    """Raise MMBenchError where several processes were started for what one must train.

    Args:
        why: it must; "" if it need not.
    """
    if why and here().several:
        raise MMBenchError(
            f"the stage {stage.name} cannot be trained by {here().count} processes, since {why}: "
            "start one, without a launcher"
        )


def drop_features(plan: Plan, model: TaskModel, settings: Train) -> None:
    """Let the model drop features while it is trained, as the settings say.

    Raises: MMBenchError for a model that has no encoded streams.
    """
    if settings.dropout and not isinstance(model, ComposedModel):
        raise MMBenchError(
            f"train.dropout drops features of encoded streams, and {plan.model} is composed of "
            "none: leave it at 0 (of a study that tunes, by `search: {train.dropout: [0.0]}`)"
        )
    model.dropout = settings.dropout


class _Choice(NamedTuple):
    """What chooses the epoch: what the log calls it, and its score, higher is better."""

    name: str
    score: Callable[[], float]
    lower_is_better: bool


def _validation(
    plan: Plan,
    model: TaskModel,
    objectives: WeightedObjectives,
    settings: Train,
    validation: SampleSet,
    device: torch.device,
    batch: int,
) -> _Choice:
    """What a stage's epoch is chosen by, of the model as it is when that is asked."""
    metric = None
    if objectives.only_task:
        allowed = plan.request.allow_hub_code
        metric = choosing_metric(plan.task, plan.metrics, settings.choose_by, allowed)
    if metric is None:

        def by_loss() -> float:
            return here().by_first(
                lambda: -mean_loss(model, objectives, validation, VALIDATION_BATCH, device)
            )

        return _Choice(LOSS, by_loss, lower_is_better=True)

    targets = [sample.target for sample in validation]
    sign = 1.0 if metric.higher_is_better else -1.0

    def by_metric() -> float:
        predictor = ModelPredictor(model, device, batch)
        answers, _ = plan.task.conclude(
            validation, values_of(predictor, validation.queries, plan.model)
        )
        return sign * here().by_first(lambda: metric.aggregate(metric.statistics(answers, targets)))

    return _Choice(metric.name, by_metric, not metric.higher_is_better)
