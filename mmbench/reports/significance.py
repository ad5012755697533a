"""What is marked in a table: the best, what cannot be told from it, letters, and the tests behind.

All marks of a table are of one family of tests by the engine that `compare` uses, with Holm's
correction over all models, metrics and datasets that stand in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmbench.statistics.family import Family, Pair, compare_models
from mmbench.statistics.measured import Measured


@dataclass(frozen=True)
class Measurement:
    """A row's value in a column, as the tests take it.

    Attributes:
        row: the row's label.
        measured: its values and replicates; `measured.dataset` names the column.
        samples: a digest of the samples that it is of.
    """

    row: str
    measured: Measured
    samples: str


@dataclass(frozen=True)
class Mark:
    """What a number's place among the others is.

    Attributes:
        letters: rows that share one cannot be told apart; "" where no test was made.
        level: whether it is not significantly worse than the best of the column (or, with a
            baseline, not significantly different from that).
        pair: its test against the best, or against the baseline.
    """

    letters: str = ""
    level: bool = False
    pair: Pair | None = None


@dataclass(frozen=True)
class Marks:
    """Those of a table.

    Attributes:
        family: of all tests; None where there was none.
        by_place: by column (`Measured.dataset`) and row.
        remarks: which numbers were not tested, and why.
    """

    family: Family | None
    by_place: Mapping[tuple[str, str], Mark]
    remarks: Sequence[str] = ()

    @property
    def tests(self) -> int:
        """How many there were."""
        return self.family.tests if self.family else 0

    def of(self, column: str, row: str) -> Mark:
        """A number's mark; an empty one where it was not tested."""
        return self.by_place.get((column, row), Mark())


def marks_of(measurements: Sequence[Measurement], baseline: str | None = None) -> Marks:
    """Compare all rows of each column, or all against one.

    Left out are numbers that cannot be resampled, and rows that are of other samples than most.

    Args:
        measurements: of all numbers of the table.
        baseline: the row that all others are compared with; all pairs if None.
    """
    columns: dict[str, list[Measurement]] = {}
    remarks: list[str] = []
    for each in measurements:
        replicates = each.measured.replicates
        if replicates.shape[1] and not np.isnan(each.measured.mean):
            columns.setdefault(each.measured.dataset, []).append(each)
    tested: list[Measurement] = []
    for found in columns.values():
        usual = Counter((m.samples, m.measured.replicates.shape[1]) for m in found)
        most = usual.most_common(1)[0][0]
        same = [m for m in found if (m.samples, m.measured.replicates.shape[1]) == most]
        remarks += [
            f"{m.row} is not compared by {m.measured.metric.name}: it is of other samples."
            for m in found
            if m not in same
        ]
        if baseline is not None and baseline not in {m.row for m in same}:
            remarks.append(f"{baseline} has no {same[0].measured.metric.name}: none is compared.")
        elif len(same) > 1:
            tested += same
    if not tested:
        return Marks(None, {}, remarks)
    family = compare_models([m.measured for m in tested], baseline)
    return Marks(family, _places(family), remarks)


def _places(family: Family) -> dict[tuple[str, str], Mark]:
    pairs: dict[tuple[str, frozenset[str]], Pair] = {
        (p.difference.dataset, frozenset((p.difference.a, p.difference.b))): p for p in family.pairs
    }
    best: dict[str, str] = {}
    for found in family.estimates:  # best first in each column
        best.setdefault(found.dataset, found.model)
    places = {}
    for found in family.estimates:
        against = family.baseline or best[found.dataset]
        pair = pairs.get((found.dataset, frozenset((found.model, against))))
        letters = family.letters.get((found.dataset, found.metric), {}).get(found.model, "")
        level = found.model == against or (pair is not None and not pair.different)
        places[found.dataset, found.model] = Mark(letters, level, pair)
    return places
