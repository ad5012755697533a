"""Intervals over seeds and samples hold the truth as often as they say; redrawing seeds did not.

`benchmarks/coverage.py` does this at length, for more cells.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmbench.metrics.accuracy import Accuracy
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.family import compare_models
from mmbench.statistics.measured import Measured, measure

GROUPS, SIMULATIONS = 100, 500


class Value(Accuracy):
    """A mean without bounds."""

    bounds = (-math.inf, math.inf)


def simulated(
    number: int, seeds: int, spread: float, interaction: float, models: int = 2
) -> list[Measured]:
    """Equal models of true value 0; spread of seeds in multiples of the samples' standard error."""
    rng = np.random.default_rng(number)
    hard = math.sqrt(0.7) * rng.normal(size=GROUPS)
    found = []
    for name in range(models):
        runs = hard + math.sqrt(0.3) * rng.normal(size=GROUPS)
        runs = runs + spread / math.sqrt(GROUPS) * rng.normal(size=(seeds, 1))
        runs = runs + interaction * rng.normal(size=(seeds, GROUPS))
        by_seed = {seed: run[:, None] for seed, run in enumerate(runs)}
        draws = {"replicates": 200, "seed": number % 4}
        found.append(measure(f"m{name}", Value(), by_seed, np.arange(GROUPS), **draws))
    return found


def redrawn_seeds(model: Measured, number: int) -> tuple[float, float]:
    """What was done before: seeds redrawn with the samples, and percentiles."""
    seeds, replicates = model.replicates.shape
    drawn = np.random.default_rng([number, 1]).multinomial(
        seeds, np.full(seeds, 1 / seeds), size=replicates
    )
    low, high = np.percentile((drawn.T * model.replicates).sum(axis=0) / seeds, [2.5, 97.5])
    return low, high


@pytest.mark.parametrize(("spread", "most"), [(3.0, 0.9), (10.0, 0.8)])
def test_three_seeds_are_covered_where_redrawing_them_covers_too_little(
    spread: float, most: float
) -> None:
    hits = np.zeros(2)
    for number in range(SIMULATIONS):
        model = simulated(number, 3, spread, 0.0, models=1)[0]
        found = estimate(model).interval
        low, high = redrawn_seeds(model, number)
        hits += [found.low <= 0 <= found.high, low <= 0 <= high]
    engine, before = hits / SIMULATIONS
    assert engine >= 0.93
    assert before < most


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("interaction", [0.0, 1.0])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_differences_are_covered(seeds: int, spread: float, interaction: float) -> None:
    hits = 0
    for number in range(SIMULATIONS):
        found = difference(*simulated(number, seeds, spread, interaction)).interval
        hits += found.low <= 0 <= found.high
    assert hits / SIMULATIONS >= 0.93


def test_what_seeds_and_samples_make_together_is_not_paid_for_twice() -> None:
    widths, hits = 0.0, 0
    for number in range(SIMULATIONS):
        found = estimate(simulated(number, 10, 0.0, 2.0, models=1)[0]).interval
        widths += (found.high - found.low) / SIMULATIONS
        hits += found.low <= 0 <= found.high
    ideal = 2 * 1.96 * math.sqrt((1 + 4 / 10) / GROUPS)
    assert widths / ideal < 1.08  # 1.17 if it were
    assert hits / SIMULATIONS >= 0.93


def test_six_equal_models_are_rarely_told_apart() -> None:
    families = [
        compare_models(simulated(number, 3, 1.0, 0.5, models=6)).pairs for number in range(100)
    ]
    assert sum(any(pair.different for pair in pairs) for pairs in families) <= 8
