"""One run: a task, a dataset, a recipe, a seed -> answers, metrics, a record."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from mmbench import registry
from mmbench.data.checks import first_reasons
from mmbench.data.reading import reporting_to
from mmbench.data.sample import SampleSet
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.infer import ModelPredictor, flops_per_sample
from mmbench.experiments.plan import Plan, make_plan
from mmbench.experiments.result import RunResult, predictions_file
from mmbench.experiments.score import score_answers
from mmbench.experiments.train import ready_model
from mmbench.experiments.training_state import TrainingState
from mmbench.experiments.watch import SILENT, Watch
from mmbench.model import Checkpoint, TaskModel, parameter_counts
from mmbench.records.environment import environment, peak_memory_mb
from mmbench.records.locks import held
from mmbench.records.record import InferenceEntry, Record, TrainingEntry
from mmbench.records.store import (
    LOG_FILE,
    PREDICTIONS_FILE,
    WEIGHTS_FILE,
    check_writable,
    clear,
    read_record,
    record_folder,
    recover,
    write_record,
)
from mmbench.task import Predictor
from mmbench.training.device import choose_device, device_name
from mmbench.training.loop import Trained
from mmbench.training.memory import within_memory

DEFAULT_BATCH = 128  # groups a batch in inference
_LARGEST_SEED = 2**31 - 1


def run(
    task: str,
    model: str,
    *,
    dataset: str | None = None,
    split: str | None = None,
    train: bool = False,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    limit: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    checkpoint: str | Path | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    allow_hub_code: bool = False,
    out: str | Path = "results",
    force: bool = False,
    resume: bool = False,
    watch: Watch = SILENT,
) -> RunResult:
    """Run a model on a task and leave a record; an equal run's record is reused.

    A training of an equal run that was cut off goes on where it was. While another process makes
    the same run, this one waits for it, and reuses its record.

    Args:
        task: a registered task ("vqa").
        model: a registered recipe ("gated_fusion"), or the path of a recipe's YAML file.
        dataset: a dataset of the task, or the path of its YAML file; the task's default if None.
        split: the split to score; the dataset's `evaluate_on` if None.
        train: train from nothing on the train split, choosing weights on validation. Otherwise
            the weights that are shipped with the recipe, or those of `checkpoint`, are used.
        seed: of initialisation, batches and dropout.
        overrides: changes to the recipe: `{"train.epochs": 3}`.
        limit: score only the first so many samples.
        device: "auto" (cuda, else mps, else cpu), or a device of torch.
        batch_size: groups (an image with its questions) a batch in inference.
        checkpoint: a `weights.safetensors` to use.
        data_dir: the folder of the dataset's files, for one that does not come with mmbench.
        skip_bad: leave out samples whose media cannot be read, and count them in the record.
        allow_hub_code: download and run metrics `evaluate:<name>` of the hub.
        out: where records are kept.
        force: run although there is a record, and begin anew.
        resume: with `force`, go on with a training that was cut off; without, say so if there is
            none to go on with.
        watch: told of progress.
    Raises: MMBenchError for any mistake in these.
    """
    _check_arguments(seed, limit, batch_size, train, checkpoint, resume)
    out = Path(out)
    with reporting_to(watch.read):
        plan = make_plan(
            task,
            model,
            dataset,
            split,
            train,
            seed,
            overrides,
            limit,
            checkpoint,
            data_dir,
            skip_bad,
            allow_hub_code,
        )
    run_hash = plan.hash()
    folder = record_folder(out, plan.task.name, plan.dataset.name, plan.model, run_hash, plan.seed)
    recover(folder)
    if folder.exists() and not force:
        return RunResult(read_record(folder), folder, reused=True)
    where = choose_device(device)
    check_writable(out)
    with held(out, folder, watch.says):
        if folder.exists() and not force:  # another process made it meanwhile
            return RunResult(read_record(folder), folder, reused=True)
        clear(folder)
        watch.began(plan.model, plan.seed)
        state = TrainingState(folder)
        if train and not plan.recipe.predictor:
            title, recipe = f"{plan.model} seed {plan.seed}", plan.recipe.settings()
            state.open(title, recipe, resume=resume, force=force, says=watch.says)
        try:
            with reporting_to(watch.read), within_memory(where, trains=train):
                record, files = _carry_out(
                    plan, run_hash, where, batch_size or DEFAULT_BATCH, state.path, watch
                )
            record = write_record(folder, record, files)
        except KeyboardInterrupt:
            kept = " Its training is kept up to the last whole epoch: the same command goes on with it."
            raise Interrupted(
                f"stopped; no record was written.{kept if state.exists() else ''}"
            ) from None
        finally:
            watch.done()
            state.close()
        state.drop()
    return RunResult(record, folder, reused=False)


def _check_arguments(
    seed: int,
    limit: int | None,
    batch_size: int | None,
    train: bool,
    checkpoint: str | Path | None,
    resume: bool,
) -> None:
    if not 0 <= seed <= _LARGEST_SEED:
        raise MMBenchError(f"--seed must be between 0 and {_LARGEST_SEED}, got {seed}")
    if limit is not None and limit < 1:
        raise MMBenchError(f"--limit must be at least 1, got {limit}")
    if batch_size is not None and batch_size < 1:
        raise MMBenchError(f"--batch-size must be at least 1, got {batch_size}")
    if train and checkpoint is not None:
        raise MMBenchError("--train makes new weights and --checkpoint names old ones: choose one")
    if resume and not train:
        raise MMBenchError("--resume goes on with a training that was cut off: give --train too")


def _carry_out(
    plan: Plan,
    run_hash: str,
    device: torch.device,
    batch: int,
    state: Path,
    watch: Watch,
) -> tuple[Record, dict[str, bytes]]:
    files: dict[str, bytes] = {}
    trained: Trained | None = None
    parameters: dict[str, int] = {}
    flops: int | None = None
    model: TaskModel | None = None
    predictor: Predictor
    if plan.recipe.predictor:
        fitted = registry.load("predictors", plan.recipe.predictor)()
        assert plan.train is not None
        fitted.fit(plan.train)
        predictor = fitted
    else:
        model, trained = ready_model(plan, device, batch, state, True, watch)
        if trained:
            files[WEIGHTS_FILE] = _checkpoint_of(plan, model).to_bytes()
            files[LOG_FILE] = "".join(json.dumps(e) + "\n" for e in trained.log).encode()
        parameters = parameter_counts(model)
        model.prepare(plan.samples)  # now, so that it is not in the time of answering
        flops = flops_per_sample(model, plan.samples[0], device)
        predictor = ModelPredictor(model, device, batch, watch.answered)

    watch.started_answering(len(plan.samples))
    began = time.perf_counter()
    answers = predictor.predict(plan.samples)
    seconds = time.perf_counter() - began
    if len(answers) != len(plan.samples):
        raise MMBenchError(f"{plan.model} gave {len(answers)} answers to {len(plan.samples)}")

    scores = score_answers(plan.metrics, plan.samples, answers)
    table = plan.task.table(plan.samples, answers)
    files[PREDICTIONS_FILE] = predictions_file(plan.samples, table, scores.statistics)
    files |= plan.task.pictures(plan.samples, answers)
    watch.done()
    training = None
    if trained and plan.train and plan.validation:
        training = TrainingEntry(
            seconds=trained.seconds,
            samples=trained.train_samples,
            samples_per_second=trained.samples_per_second,
            best_epoch=trained.best_epoch,
            best_validation=trained.best_score,
            train_fingerprint=plan.train.fingerprint,
            validation_fingerprint=plan.validation.fingerprint,
        )
    record = Record(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        task=plan.task.name,
        dataset=plan.dataset.name,
        split=plan.samples.split,
        limit=plan.samples.limit,
        fingerprint=plan.samples.fingerprint,
        samples=len(plan.samples),
        groups=len({sample.group for sample in plan.samples}),
        model=plan.model,
        recipe=plan.recipe.settings(),
        overrides=dict(plan.overrides),
        weights=plan.weights,
        hash=run_hash,
        seed=plan.seed,
        metrics=scores.entries,
        parameters=parameters,
        flops_per_sample=flops,
        training=training,
        inference=InferenceEntry(
            seconds=seconds, samples_per_second=len(answers) / seconds, batch=batch
        ),
        peak_memory_mb=peak_memory_mb(),
        environment=environment(str(device), device_name(device)),
        notes=scores.notes + (model.notes() if model else []) + _skipped_notes(plan),
        skipped={s.split: len(s.skipped) for s in _read_splits(plan) if s.skipped},
        failed=scores.failed,
        files={},
    )
    return record, files


def _read_splits(plan: Plan) -> list[SampleSet]:
    splits = (plan.samples, plan.train, plan.validation)
    return [samples for samples in splits if samples is not None]


def _skipped_notes(plan: Plan) -> list[str]:
    """Of each split that lacks samples, how many, and why the first few."""
    return [
        f"{len(samples.skipped):,} skipped in {samples.split}: {first_reasons(samples.skipped)}"
        for samples in _read_splits(plan)
        if samples.skipped
    ]


def _checkpoint_of(plan: Plan, model: TaskModel) -> Checkpoint:
    assert plan.train is not None
    return Checkpoint(
        tensors=model.state_dict(),
        recipe=plan.recipe.settings(),
        assets=plan.task.assets(plan.train),
        about={
            "task": plan.task.name,
            "dataset": plan.dataset.name,
            "fingerprint": plan.train.fingerprint,
            "model": plan.model,
            "seed": plan.seed,
        },
    )
