"""Cost beside quality: the models that no other one beats in both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.compare import Comparison, training_seconds
from mmbench.experiments.result import RunResult
from mmbench.zoo.part import FROZEN


def _trained(run: RunResult) -> float | None:
    parameters = run.record.parameters
    return sum(n for name, n in parameters.items() if not name.endswith(FROZEN)) or None


def _latency(run: RunResult) -> float | None:
    return run.record.inference.latency_p50 if run.record.inference else None


COSTS: Mapping[str, tuple[str, Callable[[RunResult], float | None]]] = {
    "operations": ("operations a sample", lambda run: run.record.flops_per_sample),
    "parameters": ("parameters", lambda run: sum(run.record.parameters.values()) or None),
    "trained_parameters": ("trained parameters", _trained),
    "training_seconds": ("training (s)", lambda run: training_seconds([run])),
    "latency": ("latency of one sample alone (s)", _latency),
    "memory": ("peak memory (MB)", lambda run: run.record.peak_memory_mb),
}


@dataclass(frozen=True)
class Point:
    """A model among others, by cost and quality.

    Attributes:
        model: its name.
        cost: mean over its runs, in the cost's unit.
        quality: its mean, unscaled.
        low, high: of its interval; None where there is none.
        beaten_by: the models that cost no more and are no worse, and are better in one of both.
    """

    model: str
    cost: float
    quality: float
    low: float | None
    high: float | None
    beaten_by: tuple[str, ...] = ()

    @property
    def on_front(self) -> bool:
        """Whether no other model beats it."""
        return not self.beaten_by


def pareto(comparison: Comparison, cost: str = "operations", seen: bool = False) -> list[Point]:
    """Each model of a comparison with its cost, and by which others it is beaten; cheapest first.

    Args:
        comparison: whose models.
        cost: one of `COSTS`.
        seen: whether models that the comparison's tests cannot tell apart count as equally good. A
            dearer one must then have been seen to be better than each that is cheaper. A comparison
            against a baseline does not know all differences.
    Raises: MMBenchError for an unknown cost, fewer than two models that have one, or if `seen` is
        asked of a comparison against a baseline.
    """
    if cost not in COSTS:
        raise MMBenchError(
            f"no cost '{cost}'.{did_you_mean(cost, COSTS)} There is {', '.join(COSTS)}."
        )
    if seen and comparison.family.baseline is not None:
        raise MMBenchError(
            "against a baseline not all models are tested with each other: seen=False"
        )
    title, of = COSTS[cost]
    points = []
    for found in comparison.estimates:
        costs = [value for run in comparison.runs[found.model] if (value := of(run)) is not None]
        if costs:
            ends = (found.interval.low, found.interval.high) if found.interval else (None, None)
            points.append(Point(found.model, sum(costs) / len(costs), found.mean, *ends))
    if len(points) < 2:
        raise MMBenchError(f"fewer than two of these models have a cost in {title}")
    sign = 1 if comparison.metric.higher_is_better else -1
    different = {
        frozenset((p.difference.a, p.difference.b)): p.different for p in comparison.family.pairs
    }

    def beats(a: Point, b: Point) -> bool:
        gain = sign * (a.quality - b.quality)
        if seen and not different[frozenset((a.model, b.model))]:
            gain = 0.0
        return a.cost <= b.cost and gain >= 0 and (a.cost < b.cost or gain > 0)

    made = [
        Point(
            *(p.model, p.cost, p.quality, p.low, p.high),
            tuple(other.model for other in points if other is not p and beats(other, p)),
        )
        for p in points
    ]
    return sorted(made, key=lambda p: (p.cost, -sign * p.quality))
