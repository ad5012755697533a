"""Do the intervals hold what they promise, and what can the comparison see? Markdown tables.

    python benchmarks/coverage.py [means] [families] [power] [shares] [groups] [--simulations 2000]

All of them where none is named: about eight minutes on one core. Each cell simulates data whose
truth is known and calls the functions that `mmbench compare` calls. A simulated value is

    model + seed + sample + (seed x sample),

the samples' part being common to two models in part, as it is where one image is harder than the
next. The seeds' spread is told in multiples of the samples' standard error.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.family import compare_models
from mmbench.statistics.measured import Measured, measure

GROUPS, REPLICATES = 200, 400
DRAWS = 8  # different draws of groups, in turn; kept by the engine
SHARED = 0.7  # of the samples' variance is common to all models
SEEDS, SPREADS = (2, 3, 5, 10), (0.0, 0.3, 1.0, 3.0, 10.0)


class Value(MeanMetric):
    """A mean of values without bounds."""

    name = "value"
    bounds = (-math.inf, math.inf)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        raise NotImplementedError


class Share(Value):
    """A mean of zeros and ones."""

    name = "share"
    bounds = (0.0, 1.0)


class World:
    """Simulated models on the same samples.

    Args:
        seeds: runs of each model.
        spread: standard deviation over seeds, in multiples of the samples' standard error.
        interaction: variance of seed x sample, the samples' own being 1.
        gains: true value of each model, in multiples of the samples' standard error.
    """

    def __init__(
        self, seeds: int, spread: float, interaction: float, gains: Sequence[float]
    ) -> None:
        self.seeds, self.spread, self.interaction = seeds, spread, interaction
        self.gains = gains

    def models(self, number: int) -> list[Measured]:
        rng = np.random.default_rng(number)
        error = 1 / math.sqrt(GROUPS)
        common = math.sqrt(SHARED) * rng.normal(size=GROUPS)
        found = []
        for index, gain in enumerate(self.gains):
            own = gain * error + common + math.sqrt(1 - SHARED) * rng.normal(size=GROUPS)
            runs = own + self.spread * error * rng.normal(size=(self.seeds, 1))
            if self.interaction:
                scale = math.sqrt(self.interaction)
                runs = runs + scale * rng.normal(size=(self.seeds, GROUPS))
            found.append(measured(f"model {index}", Value(), runs, number))
        return found

    def true_error(self, of_difference: bool) -> float:
        """Standard error of a mean, or of a difference of two."""
        samples = 2 * (1 - SHARED) if of_difference else 1.0
        seeds = (self.spread**2 + self.interaction) * (2 if of_difference else 1) / self.seeds
        return math.sqrt((samples + seeds) / GROUPS)


def measured(model: str, metric: MeanMetric, runs: FloatArray, number: int) -> Measured:
    """A model of runs (S, G), each group being a sample."""
    by_seed = {seed: run[:, None] for seed, run in enumerate(runs)}
    codes = np.arange(runs.shape[1])
    return measure(model, metric, by_seed, codes, replicates=REPLICATES, seed=number % DRAWS)


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    cells = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    print("\n".join(f"| {' | '.join(row)} |" for row in cells), "\n", flush=True)


def means(simulations: int) -> None:
    """Coverage of a model's mean and of a difference; the width over that of known variances."""
    lowest = 1.0
    for interaction in (0.0, 1.0):
        for what in ("a model's mean", "a paired difference"):
            of_difference = what != "a model's mean"
            rows = []
            for spread in SPREADS:
                row = [f"{spread:g}"]
                for seeds in SEEDS:
                    world = World(seeds, spread, interaction, (0.0, 0.0))
                    covered, width = 0, 0.0
                    for number in range(simulations):
                        a, b = world.models(number)
                        found = difference(a, b) if of_difference else estimate(a)
                        interval = found.interval
                        assert interval is not None
                        covered += interval.low <= 0 <= interval.high
                        width += (interval.high - interval.low) / simulations
                    ideal = 2 * 1.96 * world.true_error(of_difference)
                    lowest = min(lowest, covered / simulations)
                    row.append(f"{covered / simulations:.3f} ({width / ideal:.2f})")
                rows.append(row)
            kind = "with" if interaction else "without"
            print(f"Coverage of {what}, {kind} an interaction of seed and sample (mean width):\n")
            table(["seed spread", *(f"{seeds} seeds" for seeds in SEEDS)], rows)
    print(f"Lowest coverage: {lowest:.3f}\n")


def families(simulations: int) -> None:
    """How often six equal models are not all called equal."""

    def false(seeds: int, spread: float, interaction: float) -> str:
        world = World(seeds, spread, interaction, (0.0,) * 6)
        found = sum(
            any(pair.different for pair in compare_models(world.models(number)).pairs)
            for number in range(simulations)
        )
        return f"{100 * found / simulations:.1f}%"

    kinds = ((3, 0.0), (3, 1.0), (5, 0.0), (5, 1.0))
    rows = [[f"{s:g}", *(false(seeds, s, kind) for seeds, kind in kinds)] for s in SPREADS]
    print("Families of 6 equal models, all 15 pairs, Holm at 5%, with any false difference:\n")
    table(["seed spread", "3 seeds", "3, interaction", "5 seeds", "5, interaction"], rows)
    print(f"Of single runs: {false(1, 0.0, 1.0)}\n")


def power(simulations: int) -> None:
    """How often a difference is seen, and whether the least that would be seen is."""
    rows = []
    for seeds, spread in ((1, 0.0), (3, 0.3), (3, 1.0), (5, 0.3), (5, 1.0), (5, 3.0), (10, 1.0)):
        equal = World(seeds, spread, 1.0, (0.0, 0.0))
        least = [difference(*equal.models(n)).least_seen or 0.0 for n in range(simulations)]
        promised = float(np.mean(least)) * math.sqrt(GROUPS)
        row = [
            seeds,
            f"{spread:g}",
            *(seen(seeds, spread, gain, simulations) for gain in (1, 2, 4)),
        ]
        row += [f"{promised:.2f}", seen(seeds, spread, promised, simulations)]
        rows.append([*row, seen(seeds, spread, promised, simulations, others=4)])
    print(
        "Power: how often a true difference (in multiples of a value's standard error over samples)"
        " is seen, with an interaction. `least` is the mean of what the comparison says would have "
        "been seen with probability 0.8:\n"
    )
    head = ["seeds", "seed spread", "1", "2", "4", "least", "seen of that", "among 6 models"]
    table(head, rows)


def seen(seeds: int, spread: float, gain: float, simulations: int, others: int = 0) -> str:
    """Share of simulations in which the first model is found better than the second."""
    world = World(seeds, spread, 1.0, (gain, 0.0, *(0.0,) * others))
    count = 0
    for number in range(simulations):
        pairs = compare_models(world.models(number)).pairs
        names = ("model 0", "model 1")
        count += any(p.different and (p.difference.a, p.difference.b) == names for p in pairs)
    return f"{count / simulations:.2f}"


def shares(simulations: int) -> None:
    """Shares near 1 of 1,000 groups: intervals, and differences of two such models."""
    groups = 1000
    rows = []
    for truth in (0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 0.997, 0.999):

        def one(number: int, truth: float = truth) -> tuple[Measured, Measured]:
            rng = np.random.default_rng(number)
            common, own = rng.random(groups), rng.random((2, groups))
            wrong = 1 - truth
            together = 0.8 * wrong
            alone = (wrong - together) / (1 - together)
            right = (common >= together) & (own >= alone)  # (2, G)
            a, b = (
                measured(name, Share(), run[None].astype(np.float64), number)
                for name, run in zip("ab", right, strict=True)
            )
            return a, b

        rows.append([f"{truth:g}", *_of_shares(one, truth, simulations)])
    print(
        "One run, a share of 1,000 groups near 1: coverage (mean width in points), by plain "
        "percentiles and by the engine, and false differences between two models that make four "
        "fifths of their errors on the same samples:\n"
    )
    head = ["truth", "percentile", "engine", "false, percentile", "false, engine"]
    table(head, rows)


def _of_shares(
    draw: Callable[[int], tuple[Measured, Measured]], truth: float, simulations: int
) -> list[str]:
    hits, widths, false = np.zeros(2), np.zeros(2), np.zeros(2)
    for number in range(simulations):
        a, b = draw(number)
        found = estimate(a).interval
        assert found is not None
        plain = np.percentile(a.replicates[0], [2.5, 97.5])
        for i, (low, high) in enumerate([plain, (found.low, found.high)]):
            hits[i] += low - 1e-12 <= truth <= high + 1e-12
            widths[i] += 100 * (high - low)
        low, high = np.percentile(a.replicates[0] - b.replicates[0], [2.5, 97.5])
        false += [low > 0 or high < 0, difference(a, b).p_value < 0.05]
    hits, widths, false = hits / simulations, widths / simulations, false / simulations
    cells = [f"{h:.3f} ({w:.2f})" for h, w in zip(hits, widths, strict=True)]
    return [*cells, *(f"{100 * share:.1f}%" for share in false)]


def groups(simulations: int) -> None:
    """Few groups, as a category may have: percentiles are too near, the engine's arms are not."""
    rows = []
    for count in (5, 10, 20, 50, 100):
        covered = np.zeros(2)
        for number in range(simulations):
            rng = np.random.default_rng(number)
            a = measured("a", Value(), rng.normal(size=(1, count)), number)
            found = estimate(a).interval
            assert found is not None
            low, high = np.percentile(a.replicates[0], [2.5, 97.5])
            covered += [low <= 0 <= high, found.low <= 0 <= found.high]
        rows.append([count, *(f"{share:.3f}" for share in covered / simulations)])
    print("Coverage of one run's mean over few groups:\n")
    table(["groups", "percentile", "engine"], rows)


SLOW = {"families": 2, "power": 4}  # has fewer simulations by this factor
PARTS = {f.__name__: f for f in (means, families, power, shares, groups)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--simulations", type=int, default=2000)
    given = parser.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]}: there are {', '.join(PARTS)}")
    for part in given.parts or PARTS:
        PARTS[part](given.simulations // SLOW.get(part, 1))
