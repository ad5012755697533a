"""One run: a task, a dataset, a recipe, a seed -> answers, metrics, a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.computing import (
    computing_on,
    exact_float32,
    keep_freed_memory,
    repeatable,
    with_threads,
)
from mmbench.data.reading import reporting_to
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.failures import check_failed
from mmbench.experiments.plan import Plan, Splits, make_plan
from mmbench.experiments.recording import DEFAULT_BATCH, Made, record_of
from mmbench.experiments.rescore import rescored
from mmbench.experiments.result import RunResult
from mmbench.experiments.training_state import TrainingState
from mmbench.experiments.watch import SILENT, Watch, shown
from mmbench.predictors.given import name_of, settings_of, source_of
from mmbench.processes import join
from mmbench.records.environment import PeakMemory
from mmbench.records.locks import held
from mmbench.records.record import Record
from mmbench.records.store import (
    check_writable,
    clear,
    read_record,
    recover,
    write_record,
)
from mmbench.records.verification import verified
from mmbench.request import RunRequest, run_request
from mmbench.task import Predictor
from mmbench.training.kinds import device_kind

if TYPE_CHECKING:
    import torch


def run(
    task: str, model: str | Path | Predictor, *, watch: Watch | None = None, **settings: Any
) -> RunResult:
    """Run a model on a task and leave a record; an equal run's record is reused.

    A training of an equal run that was cut off goes on where it was. While another process makes
    the same run, this one waits for it, and reuses its record. Of several processes that a launcher
    has started for this run (`mmbench.processes`) all get the result.

    Args:
        task: a registered task ("vqa").
        model: a registered recipe ("gated_fusion"), the path of a recipe's YAML file, a model from
            elsewhere ("hf:NAME"), or any object with `predict(queries)`. An object that has
            `settings()`, all that decides its answers as plain JSON, has its record reused; another
            one answers anew each time, since its state cannot be known.
        watch: told of progress; it is shown in a terminal or a notebook if None.
        settings: dataset, split, train, seed, overrides, limit, device, deterministic, compile,
            threads, batch_size, checkpoint, init, data_dir, skip_bad, allow_hub_code,
            allow_failed, out, force, resume: see `mmbench.request.RunRequest`.
    Raises: MMBenchError for any mistake in these, or where more than 1% of the queries failed.
    """
    watch = shown(watch)
    if isinstance(model, str | Path):
        return carry_out(run_request(task=task, model=str(model), **settings), watch)
    name, own = name_of(model), settings_of(model)
    settings["overrides"] = {"source": source_of(model)} | ({"settings": own} if own else {})
    settings["force"] = settings.get("force", False) or own is None
    request = run_request(task=task, model=f"python:{name}", **settings)
    return carry_out(request, watch, given=model)


def carry_out(
    request: RunRequest,
    watch: Watch = SILENT,
    read: dict[str, Splits] | None = None,
    notes: Sequence[str] = (),
    given: Predictor | None = None,
) -> RunResult:
    """The result of a request: from its record, or by running it.

    Args:
        request: what is asked for.
        watch: told of progress.
        read: splits that were read for other requests, which this one shares and adds to.
        notes: what a reader of the record should know besides, such as what ran beside it.
        given: the object that answers, of a request that names one (`mmbench.predictors.given`).
    """
    if "," in request.task:
        raise MMBenchError(
            f"a run answers one task, and '{request.task}' names several: "
            "`mmbench.run_together` trains one model for them"
        )
    all_processes = join(device_kind(request.device))
    watch = watch if all_processes.first else SILENT
    with reporting_to(watch.read):
        plan = all_processes.first_then_others(lambda: make_plan(request, read))
    folder = plan.folder
    if all_processes.first:
        recover(folder)
    if all_processes.by_first(lambda: has_record(plan)):
        return all_processes.by_first(lambda: recorded(plan, watch))
    from mmbench.compiled import compiling
    from mmbench.training.device import choose_device
    from mmbench.training.memory import within_memory

    device = all_processes.own(choose_device(request.device))
    if all_processes.several and request.compile:
        raise MMBenchError("--compile is for one process: leave it off, or start one")
    if all_processes.first:
        check_writable(request.out)
    with all_processes.if_first(lambda: held(request.out, folder, watch.says)):
        if all_processes.by_first(lambda: has_record(plan)):  # another one made it meanwhile
            return all_processes.by_first(lambda: recorded(plan, watch))
        if all_processes.first:
            clear(folder)
        watch.began(plan.model, plan.seed)
        watch.will_record(folder, settings_told(plan, request))
        compiles = request.compile and not plan.recipe.predictor
        state = TrainingState(folder)
        if plan.weights.source == "trained" and all_processes.first:
            title, recipe = f"{plan.model} seed {plan.seed}", plan.recipe.settings()
            resume, force = request.resume, request.force
            state.open(title, recipe, resume=resume, force=force, says=watch.says)
        try:
            with reporting_to(watch.read), compiling(compiles, device):
                all_processes.first_then_others(plan.read)
                trains = plan.weights.source == "trained"
                with (
                    within_memory(device, trains=trains),
                    computing_on(str(device)),
                    exact_float32(),
                    repeatable(request.deterministic),
                    with_threads(request.threads),
                ):
                    made = _carry_out(plan, device, state.path, watch, given)
            record = all_processes.by_first(lambda: _written(folder, made, notes))
            watch.ended("finished", [record])
        except KeyboardInterrupt:
            watch.ended("stopped")
            kept = "Its training is kept: the same command goes on after its last whole epoch."
            raise Interrupted(
                f"stopped; no record was written. {kept if state.exists() else ''}".strip()
            ) from None
        except BaseException:
            watch.ended("failed")
            raise
        finally:
            watch.done()
            if all_processes.first:
                state.close()
        if all_processes.first:
            state.drop()
    check_failed(record, folder, request.allow_failed)
    return RunResult(record, folder, reused=False)


def settings_told(plan: Plan, request: RunRequest) -> dict[str, Any]:
    """What was asked for, and the whole recipe, as plain JSON."""
    return request.model_dump(mode="json") | {"recipe": plan.recipe.settings()}


def _written(folder: Path, made: Made | None, notes: Sequence[str]) -> Record:
    """The record of a run that was carried out, with notes of whoever asked for it."""
    assert made is not None
    record, files = made
    record = record.model_copy(update={"notes": [*record.notes, *notes]})
    return write_record(folder, record, files)


def has_record(plan: Plan) -> bool:
    """Whether a plan's record is there and is not made again, as one with failures is."""
    if plan.request.force or not plan.folder.exists():
        return False
    try:
        return not read_record(plan.folder).unanswered
    except MMBenchError:
        return True  # whoever takes it says what is wrong with it


def recorded(plan: Plan, watch: Watch) -> RunResult:
    """A record's result; scored again from its answers if it lacks a metric that is asked for."""
    folder = plan.folder
    record = verified(folder)
    have = {entry.name: entry.signature for entry in record.metrics}
    failed = set(record.failed)
    asked = {metric.name: metric.signature for metric in plan.metrics}
    if all(have.get(name) == s or name in failed for name, s in asked.items()):
        return RunResult(record, folder, reused=True)
    with reporting_to(watch.read), computing_on(plan.request.device):
        return RunResult(
            rescored(folder, record, plan.task, plan.samples, plan.metrics), folder, reused=True
        )


def _carry_out(
    plan: Plan, device: torch.device, state: Path, watch: Watch, given: Predictor | None = None
) -> Made | None:
    keep_freed_memory()
    memory = PeakMemory(device)
    if plan.recipe.predictor:
        return record_of(plan, None, device, memory, watch, given)
    from mmbench.experiments.train import ready_model

    batch = plan.request.batch_size or DEFAULT_BATCH
    return record_of(plan, ready_model(plan, device, batch, state, watch), device, memory, watch)
