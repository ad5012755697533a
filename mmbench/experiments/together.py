"""One model for several tasks: trained once, and a record of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from mmbench.computing import (
    computing_on,
    exact_float32,
    keep_freed_memory,
    repeatable,
    with_threads,
)
from mmbench.data.reading import reporting_to
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.joint_plan import joint_plans, requests_of
from mmbench.experiments.plan import Plan
from mmbench.experiments.recording import DEFAULT_BATCH, record_of
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import carry_out, has_record, recorded, settings_told
from mmbench.experiments.splits import Splits
from mmbench.experiments.training_state import TrainingState
from mmbench.experiments.watch import SILENT, Watch
from mmbench.processes import refuse_several
from mmbench.records.environment import PeakMemory
from mmbench.records.locks import held
from mmbench.records.store import check_writable, clear, recover, write_record
from mmbench.request import RunRequest, run_request


def run_together(
    tasks: Sequence[str], model: str, *, watch: Watch = SILENT, **settings: Any
) -> dict[str, RunResult]:
    """Train one model for several tasks, and leave a record of each; equal ones are reused.

    The tasks share encoders, by modality, and one fusion; each has a decoder of its own. All
    records keep the same checkpoint.

    Args:
        tasks: registered tasks, two or more.
        model: a recipe, as of `run`; its stage that names the tasks weighs them (`joint`). One
            without such a stage weighs them alike.
        watch: told of progress.
        settings: as of `run`; `dataset` is one that all tasks have, or one for each, separated by
            commas. Without `train`, each task is answered by the weights of `checkpoint`.
    Returns: the results by task.
    Raises: MMBenchError for any mistake in these.
    """
    return carry_out_together(run_request(task=",".join(tasks), model=model, **settings), watch)


def carry_out_together(
    request: RunRequest, watch: Watch = SILENT, read: dict[str, Splits] | None = None
) -> dict[str, RunResult]:
    """By task, the results of a request that names several: from their records, or by running it.

    Args:
        request: what is asked for; its `task` names tasks separated by commas.
        watch: told of progress.
        read: splits that were read for other requests, which this one shares and adds to.
    """
    refuse_several("a training of several tasks", "start one process")
    read = {} if read is None else read
    requests = requests_of(request)
    if not request.train:
        return {task: carry_out(own, watch, read) for task, own in requests.items()}
    if request.compile:
        raise MMBenchError(
            "--compile is for the training of one task, and this one changes between "
            f"{', '.join(requests)} from step to step: leave it off"
        )
    with reporting_to(watch.read):
        plans = joint_plans(request, read)
    for plan in plans.values():
        recover(plan.folder)
    if not _lacking(plans):
        found = {task: recorded(plan, watch) for task, plan in plans.items()}
    else:
        found = _run(plans, request, watch)
    return {task: found[task] for task in requests}


def _lacking(plans: Mapping[str, Plan]) -> list[str]:
    """The tasks that have no record yet, or are to be run all the same."""
    return [task for task, plan in plans.items() if not has_record(plan)]


def _run(plans: Mapping[str, Plan], request: RunRequest, watch: Watch) -> dict[str, RunResult]:
    from mmbench.training.device import choose_device
    from mmbench.training.memory import within_memory

    device = choose_device(request.device)
    check_writable(request.out)
    first = next(iter(plans.values()))
    found: dict[str, RunResult] = {}
    with ExitStack() as locks:
        for plan in plans.values():
            locks.enter_context(held(request.out, plan.folder, watch.says))
        lacking = _lacking(plans)
        for task in plans:
            if task not in lacking:
                found[task] = recorded(plans[task], watch)
        if not lacking:  # another process made them meanwhile
            return found
        for task in lacking:
            clear(plans[task].folder)
        watch.began(first.model, first.seed)
        watch.will_record(first.folder, settings_told(first, request))
        state = TrainingState(first.folder)
        title, recipe = f"{first.model} seed {first.seed}", first.recipe.settings()
        state.open(title, recipe, resume=request.resume, force=request.force, says=watch.says)
        try:
            with (
                reporting_to(watch.read),
                within_memory(device, trains=True),
                computing_on(str(device)),
                exact_float32(),
                repeatable(request.deterministic),
                with_threads(request.threads),
            ):
                from mmbench.experiments.joint_train import ready_models

                for plan in plans.values():
                    plan.read()
                keep_freed_memory()
                memory = PeakMemory(device)
                batch = request.batch_size or DEFAULT_BATCH
                ready = ready_models(plans, device, batch, state.path, watch)
                for task in lacking:
                    plan = plans[task]
                    watch.began(f"{plan.model} {task}", plan.seed)
                    made = record_of(plan, ready[task], device, memory, watch)
                    assert made is not None  # by one process
                    record = write_record(plan.folder, *made)
                    found[task] = RunResult(record, plan.folder, reused=False)
            watch.ended("finished", [found[task].record for task in plans])
        except KeyboardInterrupt:
            watch.ended("stopped")
            kept = "Its training is kept: the same command goes on after its last whole epoch."
            raise Interrupted(
                f"stopped; {len(found)} of {len(plans)} records were written. "
                f"{kept if state.exists() else ''}".strip()
            ) from None
        except BaseException:
            watch.ended("failed")
            raise
        finally:
            watch.done()
            state.close()
        state.drop()
    return found
