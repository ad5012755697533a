"""Equal budgets: the width at which each model has as many parameters, or operations, as another.

Frozen networks are not among the parameters, since nobody chooses their size here; among the
operations of an answer they are, since whoever uses the model pays for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from mmbench.errors import MMBenchError
from mmbench.experiments.plan import Plan, Splits, make_plan
from mmbench.request import RunRequest
from mmbench.study import Budget
from mmbench.zoo.part import FROZEN

TOLERANCE = 0.02
_NEAR = 0.002  # no nearer width is looked for
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128)  # what a width must be a multiple of, for heads
_WIDEST = 1_000_000
WHAT = {"params": "trained parameters", "flops": "operations a sample"}

Cost = Callable[[int], int | None]  # of a model of a width; None where none can be built


@dataclass(frozen=True)
class Solved:
    """A width, and what a model of it costs."""

    width: int
    cost: int

    def off(self, target: int) -> float:
        """How far from a target, as a share of it."""
        return abs(self.cost / target - 1)


def solve_widths(
    budget: Budget,
    requests: Mapping[str, RunRequest],
    anchor: str,
    read: dict[str, Splits],
) -> tuple[dict[str, Solved], dict[str, str]]:
    """For models of one dataset, the widths at which they cost what one of them costs.

    Args:
        budget: "params" or "flops".
        requests: a run of each, by name.
        anchor: the model whose own width stays.
        read: splits that were read; the training split is, for the words that a model must know.
    Returns: by model, its width; and by model, in words, why there is none that costs as much. A
        model that is not composed has no width, and is in neither.
    Raises: MMBenchError if the anchor is not a composed model, or cannot be built.
    """
    plans = {name: make_plan(request, read) for name, request in requests.items()}
    if plans[anchor].recipe.predictor:
        raise MMBenchError(
            f"--budget {budget} makes all models as large as {anchor}, which has no width: name a "
            "composed model as --baseline, or first"
        )
    own = plans[anchor].recipe.width
    target = _Cost(plans[anchor], budget).of(own)
    found, refused = {anchor: Solved(own, target)}, {}
    for name, plan in plans.items():
        if name == anchor or plan.recipe.predictor:
            continue
        cost = _Cost(plan, budget)
        cost.of(plan.recipe.width)  # refuses what is wrong whatever the width
        nearest = nearest_width(cache(cost), plan.recipe.width, target)
        if nearest.off(target) <= TOLERANCE:
            found[name] = nearest
        else:
            refused[name] = (
                f"--budget {budget}: no width of {name} has the {target:,} {WHAT[budget]} of "
                f"{anchor} to {TOLERANCE:.0%}; the nearest, {nearest.width}, has {nearest.cost:,}. "
                "Change its parts, or leave it out"
            )
    return found, refused


def nearest_width(cost: Cost, start: int, target: int) -> Solved:
    """The width whose cost is nearest to a target, the cost growing with it.

    Args:
        cost: of a width; None where no model of it can be built, as where heads do not divide it.
        start: a width that can be built.
        target: the cost asked for.
    """
    step = next((s for s in _STEPS if cost(s * (start // s // 2 * 2 + 1)) is not None), None)
    first = cost(start)
    assert first is not None
    if step is None:
        return Solved(start, first)

    def at(place: int) -> Solved:
        found = cost(step * place)
        return Solved(step * place, math.inf if found is None else found)  # type: ignore[arg-type]

    low = high = max(1, round(start / step))
    while at(low).cost > target and low > 1:
        low, high = max(1, low // 2), low
    while at(high).cost < target and step * high < _WIDEST:
        low, high = high, 2 * high
    best = min(at(low), at(high), key=lambda s: s.off(target))
    while high - low > 1 and best.off(target) > _NEAR:
        middle = _between(at(low), at(high), step, target)
        middle = min(max(middle, low + 1), high - 1)
        if at(middle).cost < target:
            low = middle
        else:
            high = middle
        best = min(best, at(middle), key=lambda s: s.off(target))
    return best


def _between(low: Solved, high: Solved, step: int, target: int) -> int:
    """Where between two widths the cost would be met if it were a power of the width."""
    if not (math.isfinite(high.cost) and low.cost < target < high.cost):
        return (low.width + high.width) // (2 * step)
    share = math.log(target / low.cost) / math.log(high.cost / low.cost)
    return round(low.width * (high.width / low.width) ** share / step)


class _Cost:
    """What a planned model costs at a width."""

    def __init__(self, plan: Plan, budget: Budget) -> None:
        assert plan.train is not None
        self._plan, self._budget = plan, budget
        self._assets = plan.task.assets(plan.train)

    def __call__(self, width: int) -> int | None:
        """None where it cannot be built."""
        try:
            return self.of(width)
        except MMBenchError:
            return None

    def of(self, width: int) -> int:
        """Raises MMBenchError if it cannot be built."""
        import torch

        from mmbench.experiments.infer import flops_per_sample
        from mmbench.model import parameter_counts
        from mmbench.training.memory import within_memory

        recipe = self._plan.recipe.model_copy(update={"width": width})
        device = torch.device("cpu")
        with torch.random.fork_rng(devices=[]), within_memory(device, trains=True):
            model = self._plan.task.build(recipe, self._assets)
            if self._budget == "flops":
                return flops_per_sample(model, self._plan.samples.queries, device)
        counts = parameter_counts(model)
        return sum(number for part, number in counts.items() if not part.endswith(FROZEN))
