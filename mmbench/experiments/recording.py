"""What a run answers, scored, and all that its record says of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from mmbench import registry
from mmbench.data.checks import first_reasons
from mmbench.experiments.answers import Answered, answers_of, reasons_of, requests_of
from mmbench.experiments.failures import check_can_be_scored
from mmbench.experiments.plan import Plan
from mmbench.experiments.result import predictions_file
from mmbench.experiments.score import Scores, score_answers
from mmbench.experiments.watch import Watch
from mmbench.processes import here
from mmbench.published_checkpoint import checkpoints_of
from mmbench.records.environment import PeakMemory, environment
from mmbench.records.record import InferenceEntry, Record, TrainingEntry
from mmbench.records.store import LOG_FILE, PREDICTIONS_FILE, STATISTICS_FILE, WEIGHTS_FILE
from mmbench.task import FittedPredictor, Predictor
from mmbench.zoo.part import build_part

if TYPE_CHECKING:
    import torch

    from mmbench.checkpoint import Checkpoint
    from mmbench.experiments.train import Ready

DEFAULT_BATCH = 128  # groups a batch in inference

Made = tuple[Record, dict[str, bytes]]


@dataclass
class _Asked:
    """Whoever is asked, and what is known of it before it is.

    Attributes:
        predictor: that answers.
        advanced: told of each answer, for predictors that do not tell it themselves.
        parameters: by part.
        flops: of a sample.
        latencies: seconds of samples that were asked alone.
        files: of the record, by name.
        notes: on its training.
        later: its own notes, once it has answered.
    """

    predictor: Predictor
    advanced: Callable[[int], None] | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    flops: int | None = None
    latencies: list[float] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: Sequence[str] = ()
    later: Callable[[], Sequence[str]] = list


def record_of(
    plan: Plan,
    ready: Ready | None,
    device: torch.device,
    memory: PeakMemory,
    watch: Watch,
    given: Predictor | None = None,
) -> Made | None:
    """The record of a run, and its files by name: what it answers, scored.

    None in any process but the first, once it has answered its part.

    Args:
        ready: the model with its weights; None where the recipe names a predictor.
        memory: that was begun before the model was made.
        given: the predictor itself, where it is at hand.
    """
    from mmbench.training.device import device_name

    queries = plan.samples.queries
    asked = (
        _of_predictor(plan, device, watch, given)
        if ready is None
        else _of_model(plan, ready, device, watch)
    )
    watch.started_answering(len(plan.samples))
    began = time.perf_counter()
    answered = answers_of(asked.predictor, queries, plan.model, asked.advanced)
    seconds = time.perf_counter() - began
    later = asked.later()
    if not here().first:
        return None
    reasons = reasons_of(answered.failures.values())
    by_sample = plan.task.answers_by_sample
    check_can_be_scored(plan.model, plan.task.name, by_sample, reasons, len(queries))
    scores, notes, files = _scored(plan, answered)
    watch.done()
    notes = [*scores.notes, *notes, *later, *asked.notes]
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
        titles=_titles(plan),
        recipe=plan.recipe.settings(),
        overrides=plan.request.overrides,
        weights=plan.weights,
        identity=plan.identity,
        seed=plan.seed,
        metrics=scores.entries,
        parameters=asked.parameters,
        joint=ready.joint if ready else None,
        flops_per_sample=asked.flops,
        training=_training(plan, ready),
        inference=InferenceEntry(
            seconds=seconds,
            samples_per_second=len(answered.answers) / seconds,
            batch=plan.request.batch_size or DEFAULT_BATCH,
            latency_p50=float(np.percentile(asked.latencies, 50)) if asked.latencies else None,
            latency_p95=float(np.percentile(asked.latencies, 95)) if asked.latencies else None,
            latency_samples=len(asked.latencies),
        ),
        requests=requests_of(answered),
        peak_memory_mb=memory.resident_mb(),
        peak_gpu_memory_mb=memory.gpu_mb(),
        environment=environment(
            str(device),
            device_name(device),
            plan.request.deterministic,
            plan.request.compile and ready is not None,
        ),
        notes=[*notes, *_checkpoint_notes(plan), *_skipped_notes(plan)],
        skipped={s.split: len(s.skipped) for s in plan.read() if s.skipped},
        failed=scores.failed,
        unanswered=reasons,
        files={},
    )
    return record, asked.files | files


def _of_predictor(
    plan: Plan, device: torch.device, watch: Watch, given: Predictor | None
) -> _Asked:
    """A predictor that is no model of mmbench's, fitted if it is to be."""
    part = plan.recipe.predictor
    assert part is not None
    told = {
        "answer_kind": plan.task.answer_kind,
        "device": str(device),
        "anew": plan.request.force,
        "draw": plan.seed,
    }
    predictor = given or build_part("predictors", part.name, part.options, **told)
    counted: dict[str, int] = getattr(predictor, "parameters", dict)()
    if isinstance(predictor, FittedPredictor):
        assert plan.train is not None
        predictor.fit(plan.train)
    later = getattr(predictor, "notes", list)
    return _Asked(predictor, watch.answered, parameters=counted, later=later)


def _of_model(plan: Plan, ready: Ready, device: torch.device, watch: Watch) -> _Asked:
    """A model with its weights, and what it costs."""
    from mmbench.experiments.infer import ModelPredictor, flops_per_sample, latencies_alone
    from mmbench.model import parameter_counts

    model, queries = ready.model, plan.samples.queries
    files: dict[str, bytes] = {}
    if ready.trained:
        checkpoint = ready.checkpoint or _checkpoint_of(plan, ready)
        files[WEIGHTS_FILE] = checkpoint.to_bytes()
        files[LOG_FILE] = "".join(json.dumps(e) + "\n" for e in ready.trained.log).encode()
    parameters = parameter_counts(model)
    model.prepare(queries)  # now, so that it is not in the time of answering
    batch = plan.request.batch_size or DEFAULT_BATCH
    predictor = ModelPredictor(model, device, batch, watch.answered)
    asked = _Asked(
        predictor,
        parameters=parameters,
        flops=flops_per_sample(model, queries, device),
        latencies=latencies_alone(model, queries, device),
        files=files,
        notes=ready.notes,
        later=model.notes,
    )
    if plan.request.compile and model.answers_at_once:
        predictor.warm_up(queries)
    return asked


def _scored(plan: Plan, answered: Answered) -> tuple[Scores, list[str], dict[str, bytes]]:
    """What the metrics make of the answers, notes, and the files that keep them."""
    samples = answered.of_answered(plan.samples)
    values = [answer.value for answer in answered.answers]
    answers, notes = plan.task.conclude(samples, values)
    scores = score_answers(plan.metrics, samples, answers)
    table = plan.task.table(samples, answers)
    if answered.failures:
        table["target"] = plan.task.targets(plan.samples)
    if any(answer.written is not None for answer in answered.answers):
        table["written"] = [answer.written for answer in answered.answers]
    kept = predictions_file(plan.samples, table, scores.statistics, answered.failures)
    files = {
        PREDICTIONS_FILE: kept,
        STATISTICS_FILE: scores.kept(plan.samples, answered.mask).to_bytes(),
        **plan.task.pictures(samples, answers),
    }
    return scores, notes, files


def _training(plan: Plan, ready: Ready | None) -> TrainingEntry | None:
    """How training went; None where there was none."""
    trained = ready.trained if ready else None
    if trained is None or plan.train is None or plan.validation is None:
        return None
    return TrainingEntry(
        seconds=trained.seconds,
        samples=trained.train_samples,
        samples_per_second=trained.samples_per_second,
        best_epoch=trained.best_epoch,
        best_validation=trained.best_score,
        train_fingerprint=plan.train.fingerprint,
        validation_fingerprint=plan.validation.fingerprint,
    )


def _titles(plan: Plan) -> dict[str, str]:
    """What files that are not installed call their model and dataset."""
    asked = plan.request
    titles = {}
    if plan.recipe.title and not registry.has("recipes", asked.model):
        titles["model"] = plan.recipe.title
    if plan.dataset.title and asked.dataset and not registry.has("datasets", asked.dataset):
        titles["dataset"] = plan.dataset.title
    return titles


def _checkpoint_notes(plan: Plan) -> list[str]:
    """Of each part that begins from a published checkpoint, which one, to the byte."""
    found = checkpoints_of(plan.recipe.parts())
    return [f"{key} begins from {checkpoint}" for key, checkpoint in found.items()]


def _skipped_notes(plan: Plan) -> list[str]:
    """Of each split that lacks samples, how many, and why the first few."""
    return [
        f"{len(samples.skipped):,} skipped in {samples.split}: {first_reasons(samples.skipped)}"
        for samples in plan.read()
        if samples.skipped
    ]


def _checkpoint_of(plan: Plan, ready: Ready) -> Checkpoint:
    from mmbench.checkpoint import Checkpoint

    assert plan.train is not None
    return Checkpoint(
        tensors=ready.model.state_dict(),
        recipe=plan.recipe.settings(),
        assets=dict(ready.assets),
        about={
            "task": plan.task.name,
            "dataset": plan.dataset.name,
            "fingerprint": plan.train.fingerprint,
            "model": plan.model,
            "seed": plan.seed,
        },
    )
