"""Models ranked over datasets: average ranks, Friedman's test, Nemenyi's critical difference.

Each dataset is one observation, however many samples it has. That asks for many datasets: with
three of them and eight models, two would have to be six of the seven ranks apart.

Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FEWEST = 6  # datasets


@dataclass(frozen=True)
class Ranks:
    """Models over datasets.

    Attributes:
        models: the best average rank first; those that have a value on every dataset.
        datasets: that they are ranked on.
        average: the mean rank of each model, in their order; 1 is best, equal ones share a rank.
        statistic: Friedman's chi-square.
        p_value: of Friedman's test that all are alike.
        nemenyi: by pair of models, in their order, the p-value of Nemenyi's test.
        critical_difference: average ranks that are less apart than this cannot be told apart.
        level: one less the alpha of these.
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    average: tuple[float, ...]
    statistic: float
    p_value: float
    nemenyi: Mapping[tuple[str, str], float] = field(repr=False)
    critical_difference: float
    level: float

    def together(self) -> list[tuple[str, ...]]:
        """The longest runs of models that cannot be told apart, as a diagram has bars for them."""
        runs: list[tuple[str, ...]] = []
        for first in range(len(self.models)):
            last = first
            while (
                last + 1 < len(self.models)
                and self.average[last + 1] - self.average[first] < self.critical_difference
            ):
                last += 1
            run = self.models[first : last + 1]
            if len(run) > 1 and not any(set(run) <= set(other) for other in runs):
                runs.append(run)
        return runs


def critical_difference(models: int, datasets: int, level: float = 0.95) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 N)), q of the studentised range over the root of 2.

    >>> round(critical_difference(8, 3), 2)
    6.06
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, models, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(models * (models + 1) / (6 * datasets))


def why_no_ranks(models: int, datasets: int) -> str | None:
    """In words, why models are not ranked over so few datasets; None where they are."""
    of_datasets = f"{datasets} dataset{' is' if datasets == 1 else 's are'} too few"
    if models < 3:
        few = f"{models} model{' has' if models == 1 else 's have'}"
        why = f"{few} no ranks to be told apart, it takes three: their differences say it all"
        return why if datasets >= FEWEST else f"{of_datasets} (at least {FEWEST}), and {why}"
    if datasets >= FEWEST:
        return None
    critical = critical_difference(models, datasets)
    return (
        f"{of_datasets} (at least {FEWEST}): of "
        f"{models} models, two would have to be {critical:.2f} of {models - 1} ranks apart"
    )


def rank_models(
    values: Mapping[str, Mapping[str, float]],
    higher_is_better: Mapping[str, bool],
    level: float = 0.95,
) -> Ranks:
    """Average ranks, Friedman's test and Nemenyi's, of models that have a value on every dataset.

    Args:
        values: by dataset and model.
        higher_is_better: by dataset.
        level: one less alpha.
    Raises: ValueError for fewer than three models with all values, or fewer than FEWEST datasets.
    """
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare, rankdata

    datasets = tuple(values)
    known = [set(of) for of in values.values()]
    models = list(dict.fromkeys(m for of in values.values() for m in of))
    models = [model for model in models if all(model in of for of in known)]
    if reason := why_no_ranks(len(models), len(datasets)):
        raise ValueError(reason)
    # (datasets, models), less is better
    table = np.array(
        [[-values[d][m] if higher_is_better[d] else values[d][m] for m in models] for d in datasets]
    )
    average = np.apply_along_axis(rankdata, 1, table).mean(axis=0)
    alike = bool((table == table[:, :1]).all())
    statistic, p_value = (0.0, 1.0) if alike else friedmanchisquare(*table.T)
    apart = np.asarray(posthoc_nemenyi_friedman(table))
    order = sorted(range(len(models)), key=lambda place: (average[place], place))
    return Ranks(
        models=tuple(models[place] for place in order),
        datasets=datasets,
        average=tuple(float(average[place]) for place in order),
        statistic=float(statistic),
        p_value=float(p_value),
        nemenyi={
            (models[a], models[b]): float(apart[a, b])
            for i, a in enumerate(order)
            for b in order[i + 1 :]
        },
        critical_difference=critical_difference(len(models), len(datasets), level),
        level=level,
    )
