"""Families of differences: all pairs of models, or all against one, by one or several metrics.

Who looks at fifteen pairs finds one that differs by chance more often than not. Holm's correction
runs over every pair, metric and dataset that are looked at together, so that the model that looks
best on the test set is not treated as if it had been named before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from mmbench.errors import MMBenchError
from mmbench.statistics.comparison import Difference, ModelEstimate, difference, estimate
from mmbench.statistics.holm import holm
from mmbench.statistics.letters import compact_letters
from mmbench.statistics.measured import Measured, Quantity
from mmbench.statistics.verdicts import (
    against_baseline,
    among_all,
    of_family,
    of_pair,
    of_two,
    over_references,
)

Column = tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """Two models, as a family of tests sees them.

    Attributes:
        difference: of the two, with interval and p-value of its own.
        adjusted: the p-value after Holm's correction over the family.
        different: whether it is below the family's alpha.
        least_seen: the least difference that would have been seen with probability 0.8 at the
            family's strictest step, alpha over the number of tests; None without any spread.
        verdict: in words.
    """

    difference: Difference
    adjusted: float
    different: bool
    least_seen: float | None
    verdict: str

    @property
    def column(self) -> Column:
        """Dataset and metric."""
        return self.difference.dataset, self.difference.metric


@dataclass(frozen=True)
class Family:
    """Models compared.

    Attributes:
        level: one less the chance of any false difference among all pairs.
        baseline: the model that all others are compared with; None for all pairs.
        estimates: of each model; in each column (dataset, metric) best first.
        pairs: the better one first; against a baseline, the baseline second.
        letters: by column and model: models that share a letter cannot be told apart. Empty
            against a baseline, since not all pairs are known.
        verdicts: by column, in words.
        scales: by metric, what tables multiply its values by.
        higher_is_better: by metric.
        tests: how many Holm's correction is over.
        of_references: by column, in words, whether the models fuse anything: are better than what
            fuses nothing.
        notes: what else a reader must know, such as which samples are left out.
    """

    level: float
    baseline: str | None
    estimates: tuple[ModelEstimate, ...]
    pairs: tuple[Pair, ...]
    letters: Mapping[Column, Mapping[str, str]]
    verdicts: Mapping[Column, str]
    scales: Mapping[str, float]
    higher_is_better: Mapping[str, bool]
    tests: int
    of_references: Mapping[Column, str]
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Column]:
        """Datasets and metrics."""
        return list(self.verdicts)

    def column(self, column: Column) -> Family:
        """What it says of one dataset and metric; p-values stay those of the whole family."""
        return replace(
            self,
            estimates=tuple(e for e in self.estimates if (e.dataset, e.metric) == column),
            pairs=tuple(p for p in self.pairs if p.column == column),
            letters={c: found for c, found in self.letters.items() if c == column},
            verdicts={column: self.verdicts[column]},
            of_references={c: words for c, words in self.of_references.items() if c == column},
        )

    @property
    def verdict(self) -> str:
        """What was found over all columns, in words."""
        different = sum(pair.different for pair in self.pairs)
        return of_family(len(self.columns), self.tests, different)

    def over_columns(self, models: Collection[str]) -> list[str]:
        """A sentence on each pair of these models, over all columns."""
        found: dict[frozenset[str], list[Pair]] = {}
        for pair in self.pairs:
            names = frozenset((pair.difference.a, pair.difference.b))
            if names <= set(models):
                found.setdefault(names, []).append(pair)
        return [_over_columns(pairs, self.higher_is_better) for pairs in found.values()]


def compare_models(
    measured: Sequence[Measured],
    baseline: str | None = None,
    level: float = 0.95,
    references: Mapping[str, Sequence[str]] | None = None,
    fusing: Mapping[str, Sequence[str]] | None = None,
) -> Family:
    """Compare models by every metric that they were measured by.

    Against a baseline, each model that fuses is compared with the best reference as well: who is
    better than that one is better than all.

    Args:
        measured: models by metrics and datasets, in any order; what has one dataset and metric is
            compared.
        baseline: compare all others with this one only.
        level: of the intervals, and one less the family's alpha.
        references: by dataset, the models that fuse nothing.
        fusing: by dataset, the models that fuse, and so must be better than those.
    Raises: MMBenchError if a model is given twice, the baseline lacks a value, or models are not of
        the same samples.
    """
    columns = _columns(measured)
    floors = {
        column: _floor(models, (references or {}).get(column[0], ()))
        for column, models in columns.items()
    }
    claims = {
        column: [m for m in (fusing or {}).get(column[0], ()) if m in models]
        for column, models in columns.items()
    }
    names = [
        (column, *names)
        for column, models in columns.items()
        for names in _pairs(models, baseline, floors[column], claims[column])
    ]
    found = [difference(columns[column][a], columns[column][b], level) for column, a, b in names]
    adjusted = holm([d.p_value for d in found])
    alpha = 1 - level
    pairs = []
    for each, p in zip(found, adjusted, strict=True):
        metric = columns[each.dataset, each.metric][each.a].metric
        least = each.least_difference_seen(1 - alpha / len(found))
        different = bool(p < alpha)
        words = of_pair(each, metric, float(p), different, least)
        pairs.append(Pair(each, float(p), different, least, words))
    letters, verdicts, fused = {}, {}, {}
    for column, models in columns.items():
        here = [p for p in pairs if p.column == column]
        apart = [(p.difference.a, p.difference.b) for p in here if p.different]
        if baseline is None:
            letters[column] = compact_letters(list(models), apart)
            least = _least_of_all(here)
            verdicts[column] = among_all(list(models), apart, least, _metric(models))
        else:
            of = [p for p in here if p.difference.b == baseline]
            better = [p.difference.a for p in of if p.different and _better(p, models)]
            worse = [p.difference.a for p in of if p.different and not _better(p, models)]
            verdicts[column] = against_baseline(baseline, list(models), better, worse)
        if (floor := floors[column]) is not None and claims[column]:
            above = [m for m in claims[column] if _above(m, floor, here, models)]
            fused[column] = over_references(floor, claims[column], above)
    estimates = tuple(estimate(m, level) for models in columns.values() for m in models.values())
    scales = {m.metric.name: m.metric.scale for m in measured}
    return Family(
        level=level,
        baseline=baseline,
        estimates=estimates,
        pairs=tuple(pairs),
        letters=letters,
        verdicts=verdicts,
        scales=scales,
        higher_is_better={m.metric.name: m.metric.higher_is_better for m in measured},
        tests=len(pairs),
        of_references=fused,
    )


def _columns(measured: Sequence[Measured]) -> dict[Column, dict[str, Measured]]:
    """Models by name, best first, by dataset and metric."""
    columns: dict[Column, dict[str, Measured]] = {}
    for each in measured:
        models = columns.setdefault(each.column, {})
        if each.model in models:
            raise MMBenchError(f"{each.model} was measured twice by {each.metric.name}")
        models[each.model] = each
    return {
        column: dict(sorted(models.items(), key=lambda item: _rank(item[1])))
        for column, models in columns.items()
    }


def _rank(measured: Measured) -> float:
    return -measured.mean if measured.metric.higher_is_better else measured.mean


def _pairs(
    models: Mapping[str, Measured],
    baseline: str | None,
    floor: str | None = None,
    claims: Sequence[str] = (),
) -> list[tuple[str, str]]:
    if baseline is None:
        return list(combinations(models, 2))
    if baseline not in models:
        raise MMBenchError(
            f"the baseline {baseline} is not among the models compared: {', '.join(models)}"
        )
    pairs = [(model, baseline) for model in models if model != baseline]
    if floor is not None and floor != baseline:
        pairs += [(model, floor) for model in models if model in claims and model != baseline]
    return pairs


def _floor(models: Mapping[str, Measured], references: Sequence[str]) -> str | None:
    """The best of the references, of models that stand best first."""
    return next((model for model in models if model in references), None)


def _above(model: str, floor: str, pairs: Sequence[Pair], models: Mapping[str, Measured]) -> bool:
    """Whether a model was found to be better than the best reference."""
    return any(
        pair.different and (pair.difference.a == model) == _better(pair, models)
        for pair in pairs
        if {pair.difference.a, pair.difference.b} == {model, floor}
    )


def _least_of_all(pairs: Sequence[Pair]) -> float | None:
    """The least difference that would have been seen between any two; None where one has none."""
    least = [pair.least_seen for pair in pairs]
    return max((x for x in least if x is not None), default=None) if None not in least else None


def _over_columns(pairs: Sequence[Pair], higher_is_better: Mapping[str, bool]) -> str:
    """What one pair's tests over several columns say together."""
    a, b = pairs[0].difference.a, pairs[0].difference.b
    better: dict[str, list[str]] = {a: [], b: []}
    for pair in (pair for pair in pairs if pair.different):
        found = pair.difference
        first = (found.difference > 0) == higher_is_better[found.metric]
        better[found.a if first else found.b].append(" ".join(filter(None, pair.column)))
    return of_two(a, b, better[a], better[b], len(pairs))


def _metric(models: Mapping[str, Measured]) -> Quantity:
    return next(iter(models.values())).metric


def _better(pair: Pair, models: Mapping[str, Measured]) -> bool:
    """Whether the first of the pair is the better one."""
    return (pair.difference.difference > 0) == models[pair.difference.a].metric.higher_is_better
