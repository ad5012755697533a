"""Families of differences: all pairs of models, or all against one, by one or several metrics.

Who looks at fifteen pairs finds one that differs by chance more often than not. Holm's correction
runs over every pair, metric and dataset that are looked at together, so that the model that looks
best on the test set is not treated as if it had been named before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from mmbench.errors import MMBenchError
from mmbench.statistics.comparison import Difference, ModelEstimate, difference, estimate
from mmbench.statistics.holm import holm
from mmbench.statistics.letters import compact_letters
from mmbench.statistics.measured import Measured
from mmbench.statistics.verdicts import against_baseline, among_all, of_pair

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
    """

    level: float
    baseline: str | None
    estimates: tuple[ModelEstimate, ...]
    pairs: tuple[Pair, ...]
    letters: Mapping[Column, Mapping[str, str]]
    verdicts: Mapping[Column, str]
    scales: Mapping[str, float]

    @property
    def tests(self) -> int:
        """How many tests Holm's correction is over."""
        return len(self.pairs)


def compare_models(
    measured: Sequence[Measured], baseline: str | None = None, level: float = 0.95
) -> Family:
    """Compare models by every metric that they were measured by.

    Args:
        measured: models by metrics and datasets, in any order; what has one dataset and metric is
            compared.
        baseline: compare all others with this one only.
        level: of the intervals, and one less the family's alpha.
    Raises: MMBenchError if a model is given twice, the baseline lacks a value, or models are not of
        the same samples.
    """
    columns = _columns(measured)
    names = [
        (column, *names) for column, models in columns.items() for names in _pairs(models, baseline)
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
    letters, verdicts = {}, {}
    for column, models in columns.items():
        here = [p for p in pairs if (p.difference.dataset, p.difference.metric) == column]
        apart = [(p.difference.a, p.difference.b) for p in here if p.different]
        if baseline is None:
            letters[column] = compact_letters(list(models), apart)
            verdicts[column] = among_all(list(models), apart)
        else:
            better = [p.difference.a for p in here if p.different and _better(p, models)]
            worse = [p.difference.a for p in here if p.different and not _better(p, models)]
            verdicts[column] = against_baseline(baseline, list(models), better, worse)
    estimates = tuple(estimate(m, level) for models in columns.values() for m in models.values())
    scales = {m.metric.name: m.metric.scale for m in measured}
    return Family(level, baseline, estimates, tuple(pairs), letters, verdicts, scales)


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


def _pairs(models: Mapping[str, Measured], baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return list(combinations(models, 2))
    if baseline not in models:
        raise MMBenchError(
            f"the baseline {baseline} is not among the models compared: {', '.join(models)}"
        )
    return [(model, baseline) for model in models if model != baseline]


def _better(pair: Pair, models: Mapping[str, Measured]) -> bool:
    """Whether the first of the pair is the better one."""
    return (pair.difference.difference > 0) == models[pair.difference.a].metric.higher_is_better
