"""Cost beside quality: the models that no other one beats in both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.compare import Comparison
from mmbench.reports.costs import DRAWN, cost_of


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
        cost: one of `mmbench.reports.costs.DRAWN`.
        seen: whether models that the comparison's tests cannot tell apart count as equally good. A
            dearer one must then have been seen to be better than each that is cheaper. A comparison
            against a baseline does not know all differences.
    Raises: MMBenchError for an unknown cost, fewer than two models that have one, or if `seen` is
        asked of a comparison against a baseline.
    """
    if cost not in DRAWN:
        raise MMBenchError(
            f"no cost '{cost}'.{did_you_mean(cost, DRAWN)} There is {', '.join(DRAWN)}."
        )
    if seen and comparison.family.baseline is not None:
        raise MMBenchError(
            "against a baseline not all models are tested with each other: seen=False"
        )
    points = []
    for found in comparison.estimates:
        value = cost_of(comparison.runs[found.model], DRAWN[cost])
        if value is not None:
            ends = (found.interval.low, found.interval.high) if found.interval else (None, None)
            points.append(Point(found.model, value, found.mean, *ends))
    if len(points) < 2:
        raise MMBenchError(f"fewer than two of these models have a cost in {DRAWN[cost].axis}")
    sign = 1 if comparison.metric.higher_is_better else -1
    different = {
        frozenset((p.difference.a, p.difference.b)): p.different for p in comparison.family.pairs
    }

    def level(a: int, b: int) -> bool:
        return seen and not different[frozenset((points[a].model, points[b].model))]

    beaten = beaten_by([(p.cost, sign * p.quality) for p in points], level)
    made = [
        replace(point, beaten_by=tuple(points[other].model for other in others))
        for point, others in zip(points, beaten, strict=True)
    ]
    return sorted(made, key=lambda p: (p.cost, -sign * p.quality))


def beaten_by(
    points: Sequence[tuple[float, float]],
    level: Callable[[int, int], bool] = lambda a, b: False,
) -> list[list[int]]:
    """Of each point, the places of those that cost no more, are no worse, and are better in one.

    Args:
        points: (cost, quality), more quality is better.
        level: whether the qualities of two places count as equal.
    """

    def beats(a: int, b: int) -> bool:
        gain = 0.0 if level(a, b) else points[a][1] - points[b][1]
        cheaper = points[a][0] < points[b][0]
        return points[a][0] <= points[b][0] and gain >= 0 and (cheaper or gain > 0)

    places = range(len(points))
    return [[a for a in places if a != b and beats(a, b)] for b in places]


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of points (cost, quality) that no other beats, the cheapest first.

    >>> frontier([(1.0, 5.0), (2.0, 4.0), (2.0, 7.0), (3.0, 7.0)])
    [0, 2]
    """
    best = [place for place, others in enumerate(beaten_by(points)) if not others]
    return sorted(best, key=lambda place: points[place])
