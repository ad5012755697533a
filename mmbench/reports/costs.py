"""What a model takes: parameters, operations, times and memory, as records have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mmbench.experiments.result import RunResult
from mmbench.records.record import Record
from mmbench.reports.counts import count


@dataclass(frozen=True)
class Cost:
    """Something that a model takes.

    Attributes:
        name: in CSV and JSON, with its unit.
        title, group: above its column.
        axis: at the axis of a figure.
        of: a record's, or None where it does not say.
        text: as it is shown.
    """

    name: str
    title: str
    group: str
    axis: str
    of: Callable[[Record], float | None]
    text: Callable[[float], str]


def cost_of(runs: Iterable[RunResult], cost: Cost) -> float | None:
    """A model's, mean over its runs; None where none of them says."""
    values = [cost.of(run.record) for run in runs]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _parameters(record: Record, frozen: bool) -> int | None:
    """How many are trained, or frozen; None of a predictor without any."""
    from mmbench.zoo.part import FROZEN  # imports torch

    if not record.parameters:
        return None
    return sum(n for part, n in record.parameters.items() if part.endswith(FROZEN) == frozen)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else _whole(value)


COSTS = (
    Cost(
        *("trained_parameters", "Trained", "Parameters", "trained parameters"),
        lambda r: _parameters(r, False),
        count,
    ),
    Cost(
        *("frozen_parameters", "Frozen", "Parameters", "frozen parameters"),
        lambda r: _parameters(r, True),
        count,
    ),
    Cost(
        *("joint_parameters", "All tasks", "Parameters", "parameters for all tasks together"),
        lambda r: r.joint.parameters if r.joint else None,
        count,
    ),
    Cost(
        *("operations", "Operations", "", "operations per sample"),
        lambda r: r.flops_per_sample,
        count,
    ),
    Cost(
        *("training_seconds", "Train (s)", "", "training (s)"),
        lambda r: r.training.seconds if r.training else None,
        _whole,
    ),
    Cost(
        *("latency_p50_ms", "p50", "Latency (ms)", "latency of one sample alone (ms)"),
        lambda r: _thousand(r.inference.latency_p50) if r.inference else None,
        _digits,
    ),
    Cost(
        *("latency_p95_ms", "p95", "Latency (ms)", "latency of one sample alone, p95 (ms)"),
        lambda r: _thousand(r.inference.latency_p95) if r.inference else None,
        _digits,
    ),
    Cost(
        *("samples_per_second", "Samples/s", "", "samples per second"),
        lambda r: r.inference.samples_per_second if r.inference and r.parameters else None,
        _whole,
    ),
    Cost(
        *("peak_memory_mb", "CPU", "Memory (MB)", "peak memory (MB)"),
        lambda r: r.peak_memory_mb,
        _whole,
    ),
    Cost(
        *("peak_gpu_memory_mb", "GPU", "Memory (MB)", "peak memory of the GPU (MB)"),
        lambda r: r.peak_gpu_memory_mb,
        _whole,
    ),
)

_PARAMETERS = Cost(
    *("parameters", "Parameters", "", "parameters"),
    lambda r: sum(r.parameters.values()) or None,
    count,
)
_NAMED = {cost.name: cost for cost in (*COSTS, _PARAMETERS)}

# Of which less is better, by the names that quality is drawn by.
DRAWN: Mapping[str, Cost] = {
    "operations": _NAMED["operations"],
    "parameters": _PARAMETERS,
    "trained_parameters": _NAMED["trained_parameters"],
    "training_seconds": _NAMED["training_seconds"],
    "latency": _NAMED["latency_p50_ms"],
    "memory": _NAMED["peak_memory_mb"],
}


def _thousand(value: float | None) -> float | None:
    return None if value is None else value * 1000
