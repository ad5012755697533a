"""What one model costs: by part, alone, and in the largest batch that pays."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.plan import Plan, make_plan
from mmbench.experiments.shown import Shown
from mmbench.request import run_request

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from mmbench.data.sample import Query
    from mmbench.experiments.attribution import Attribution
    from mmbench.experiments.batch_search import BatchCost
    from mmbench.model import TaskModel

_REPEATS = 5  # of what is timed by part, after one that is not counted
_REPEAT_SECONDS = 5.0  # after which nothing is repeated
_SEARCH_SECONDS = 30.0  # for batches
_ORDER = ("encoders", "project", "fusion", "decoder")


@dataclass(frozen=True)
class PartCost:
    """What a part of a model costs.

    Attributes:
        part: its name; "other" is what no part does, such as a loss.
        trained, frozen: parameters.
        operations: floating-point operations of a sample's answer; a multiply-add counts two.
        answer_seconds: of answering a batch, frozen networks included.
        forward_seconds, backward_seconds: of a training step, in which what frozen networks make is
            at hand; the optimizer is no part's.
    """

    part: str
    trained: int
    frozen: int
    operations: float
    answer_seconds: float
    forward_seconds: float
    backward_seconds: float


@dataclass(frozen=True, repr=False)
class Profile(Shown):
    """What a model costs.

    Attributes:
        task, dataset, split, model: what was asked for.
        weights: "fresh", or the checkpoint's file.
        device, device_name, threads: where it was measured.
        parts: of the model.
        flops_per_sample: of the whole way to an answer, as a run's record has it.
        batch, samples: media, and samples about them, in the batch that parts are timed with.
        latency_p50, latency_p95: seconds that one sample alone takes, frozen networks included.
        alone: the same as a batch of one.
        batches: answered one twice as large as the one before.
        stopped: why no larger batch was answered.
        peak_memory_mb, peak_gpu_memory_mb: of a training step with that batch, in 10^6 bytes; None
            where it is not known.
    """

    task: str
    dataset: str
    split: str
    model: str
    weights: str
    device: str
    device_name: str
    threads: int
    parts: Sequence[PartCost]
    flops_per_sample: int
    batch: int
    samples: int
    latency_p50: float
    latency_p95: float
    batches: Sequence[BatchCost]
    stopped: str
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None

    @property
    def alone(self) -> BatchCost:
        """A batch of one medium."""
        return self.batches[0]

    @property
    def largest(self) -> BatchCost:
        """The largest batch that was answered."""
        return self.batches[-1]

    @property
    def quickest(self) -> BatchCost:
        """The batch of the highest throughput."""
        return max(self.batches, key=lambda found: found.samples_per_second)

    @property
    def total(self) -> PartCost:
        """All parts together."""
        sums = {
            key: sum(getattr(part, key) for part in self.parts)
            for key in PartCost.__dataclass_fields__
            if key != "part"
        }
        return PartCost(part="all", **sums)

    def to_frame(self) -> pd.DataFrame:
        """A row a part, and one of all: parameters, operations, seconds."""
        import pandas as pd

        return pd.DataFrame([asdict(part) for part in (*self.parts, self.total)])

    def batches_frame(self) -> pd.DataFrame:
        """A row a batch: size, seconds, throughput, memory."""
        import pandas as pd

        rows = [asdict(b) | {"samples_per_second": b.samples_per_second} for b in self.batches]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        values = asdict(self)
        values["batches"] = self.batches_frame().to_dict("records")
        return values


def profile(
    task: str, model: str, *, batch: int | None = None, search: float | None = None, **settings: Any
) -> Profile:
    """Measure what a model costs, with fresh weights unless a checkpoint is named.

    Times, throughput and memory are of this machine, with all else that runs on it; parameters and
    operations are of the model.

    Args:
        task: a registered task.
        model: a registered recipe, or the path of a recipe's YAML file.
        batch: media (with all that is asked about each) that parts are timed with; the recipe's
            `train.batch` if None.
        search: for how many seconds larger batches are tried; half a minute if None.
        settings: dataset, split, overrides, limit, device, threads, checkpoint, data_dir, skip_bad:
            see `mmbench.request.RunRequest`.
    Raises: MMBenchError for any mistake in these, and for a model without a network.
    """
    if batch is not None and batch < 1:
        raise MMBenchError(f"--batch must be at least 1, got {batch}")
    if search is not None and search < 0:
        raise MMBenchError(f"--search must be at least 0 seconds, got {search:g}")
    trains = settings.get("checkpoint") is None
    request = run_request(**{"task": task, "model": model, "train": trains} | settings)
    plan = make_plan(request)
    if plan.recipe.predictor:
        raise MMBenchError(
            f"{plan.model} is no network, so that there is nothing to profile: choose another "
            "model (`mmbench list models`)"
        )
    from mmbench.computing import computing_on, exact_float32, with_threads
    from mmbench.training.device import choose_device
    from mmbench.training.memory import within_memory

    device = choose_device(request.device)
    with (
        within_memory(device, trains=True),
        computing_on(str(device)),
        exact_float32(),
        with_threads(request.threads),
    ):
        return _measured(plan, device, batch, _SEARCH_SECONDS if search is None else search)


def _measured(plan: Plan, device: torch.device, batch: int | None, search: float) -> Profile:
    import torch

    from mmbench.experiments.attribution import REST, parameters_by_part
    from mmbench.experiments.batch_search import search_batches
    from mmbench.experiments.infer import flops_per_sample, latencies_alone
    from mmbench.experiments.train import built_model
    from mmbench.model import move
    from mmbench.training.device import device_name

    model = built_model(plan, device)
    counts = parameters_by_part(model)
    queries = plan.samples.queries
    flops = flops_per_sample(model, queries, device)
    operations = _operations(model, queries, device)
    size = batch or plan.recipe.train.batch
    timed = _timed(plan, model, size, device)

    def answer(queries: Sequence[Query]) -> None:
        with torch.inference_mode():
            model.answer(move(model.collate(queries), device))
        _wait(device)

    model.eval()
    model.reuses_features = False
    try:
        latencies = latencies_alone(model, queries, device)
        found = search_batches(answer, queries, device, search)
    finally:
        model.reuses_features = True
    names = dict.fromkeys([*counts, *operations, *timed.answer, *timed.forward, *timed.backward])
    ordered = sorted(names, key=lambda name: (name == REST, _place(name)))
    return Profile(
        task=plan.task.name,
        dataset=plan.dataset.name,
        split=plan.samples.split,
        model=plan.model,
        weights="fresh" if plan.checkpoint is None else str(plan.checkpoint.path),
        device=str(device),
        device_name=device_name(device),
        threads=torch.get_num_threads(),
        parts=[
            PartCost(
                name,
                *counts.get(name, (0, 0)),
                operations.get(name, 0.0),
                *(by.get(name, 0.0) for by in (timed.answer, timed.forward, timed.backward)),
            )
            for name in ordered
        ],
        flops_per_sample=flops,
        batch=size,
        samples=timed.samples,
        latency_p50=float(np.percentile(latencies, 50)),
        latency_p95=float(np.percentile(latencies, 95)),
        batches=found.tried,
        stopped=found.stopped,
        peak_memory_mb=timed.peak_memory_mb,
        peak_gpu_memory_mb=timed.peak_gpu_memory_mb,
    )


def _place(part: str) -> int:
    first = part.partition(".")[0]
    return _ORDER.index(first) if first in _ORDER else len(_ORDER)


def _operations(
    model: TaskModel, queries: Sequence[Query], device: torch.device
) -> dict[str, float]:
    """Of one sample's answer, by part."""
    from mmbench.experiments.attribution import Attribution
    from mmbench.experiments.infer import steps_to_an_answer
    from mmbench.experiments.operations import counting

    found: dict[str, float] = {}
    for share, step in steps_to_an_answer(model, queries, device):
        with counting() as counted:
            attribution = Attribution(model, counted)
            with attribution.forward():
                step()
        for part, number in attribution.by_part.items():
            found[part] = found.get(part, 0.0) + share * number
    return {part: number for part, number in found.items() if number}


@dataclass(frozen=True)
class _Timed:
    """Seconds by part, medians over repeats; how many samples; memory of training."""

    answer: dict[str, float]
    forward: dict[str, float]
    backward: dict[str, float]
    samples: int
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None


def _timed(plan: Plan, model: TaskModel, size: int, device: torch.device) -> _Timed:
    import torch

    from mmbench.data.batches import GroupBatches
    from mmbench.experiments.attribution import Attribution
    from mmbench.model import move
    from mmbench.records.environment import PeakMemory
    from mmbench.training.objectives.weighted import total

    source = plan.samples if plan.train is None else plan.train
    chosen = next(GroupBatches(source, size).epoch())

    def clock() -> float:
        _wait(device)
        return time.perf_counter()

    model.eval()
    model.reuses_features = False
    asked = move(model.collate([sample.query for sample in chosen]), device)
    model.reuses_features = True

    def answer() -> list[Attribution]:
        attribution = Attribution(model, clock)
        with torch.inference_mode(), attribution.forward():
            model.answer(asked)
        return [attribution]

    (answering,) = _medians(answer)
    model.prepare_training(chosen)
    batch = move(model.collate_training(chosen, np.random.default_rng(0)), device)
    model.train()

    def step() -> list[Attribution]:
        forward, cuda = Attribution(model, clock), device.type == "cuda"
        with forward.forward(), torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            loss = total(model.losses(batch))
        there = dict(forward.by_part)
        forward.backward(loss)
        model.zero_grad(set_to_none=True)
        backward = Attribution(model, clock)
        backward.by_part = {p: s - there.get(p, 0.0) for p, s in forward.by_part.items()}
        forward.by_part = there
        return [forward, backward]

    memory = PeakMemory(device)
    forward, backward = _medians(step)
    return _Timed(answering, forward, backward, len(chosen), memory.resident_mb(), memory.gpu_mb())


def _medians(measure: Callable[[], list[Attribution]]) -> list[dict[str, float]]:
    """Medians by part of a few measurements, after one that is not counted."""
    began = time.perf_counter()
    found = [measure()]
    while len(found) <= _REPEATS and time.perf_counter() - began < _REPEAT_SECONDS:
        found.append(measure())
    counted = [[each.by_part for each in one] for one in found[1:] or found]
    return [
        {part: statistics.median(one.get(part, 0.0) for one in same) for part in same[0]}
        for same in zip(*counted, strict=True)
    ]


def _wait(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
