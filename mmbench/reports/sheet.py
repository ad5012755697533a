"""A table as it is to be read, in no format yet: heads in groups, lines, a caption in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbench.reports.cells import Cell
from mmbench.reports.significance import Mark

SPREADS = ("sd", "interval", "none")
_MOST_DECIMALS = 4


@dataclass(frozen=True)
class Number:
    """A value in a table; unscaled.

    Attributes:
        mean: over seeds.
        sd: over seeds; None for one.
        low, high: of its interval; None where there is none.
        seeds: how many.
        scale: what is shown is multiplied by it.
        decimals: that are shown.
        best: whether it is the best of its column.
        mark: its place among the others.
        signed: whether it is a difference, shown with its sign and interval.
        p_value: of a difference, after correction.
    """

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    scale: float = 1.0
    decimals: int = 2
    best: bool = False
    mark: Mark = field(default_factory=Mark)
    signed: bool = False
    p_value: float | None = None

    @property
    def shown(self) -> str:
        """The value."""
        sign = "+" if self.signed else ""
        return f"{self.mean * self.scale:{sign}.{self.decimals}f}"

    def spread(self, kind: str) -> str:
        """What stands beside the value: "± 0.12" over seeds, "[1.0, 2.0]" of one; "" for nothing.

        A difference has its interval, whatever is asked for.
        """
        if kind == "sd" and self.sd is not None and not self.signed:
            return f"± {self.sd * self.scale:.{self.decimals}f}"
        if (kind == "none" and not self.signed) or self.low is None or self.high is None:
            return ""
        sign = "+" if self.signed else ""
        low, high = (f"{e * self.scale:{sign}.{self.decimals}f}" for e in (self.low, self.high))
        return f"[{low}, {high}]"


Shown = Number | str | None


def shown_text(shown: Shown, spread: str) -> str:
    """A cell as plain text: "81.7 [80.9, 82.4] a"."""
    if not isinstance(shown, Number):
        return shown or "-"
    return " ".join(filter(None, [shown.shown, shown.spread(spread), shown.mark.letters]))


@dataclass(frozen=True)
class Head:
    """What stands above a column.

    Attributes:
        title: of the column itself.
        groups: above it, from the top: dataset, direction. Neighbours that share one stand under
            one head.
        facts: what the numbers are, for CSV and JSON: task, dataset, metric, signature, ...
        lower_is_better: of its numbers; None where neither is.
    """

    title: str
    groups: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lower_is_better: bool | None = None

    @property
    def label(self) -> str:
        """The title; with an arrow where lower is better, since most metrics are the other way."""
        return f"{self.title} ↓" if self.lower_is_better else self.title


@dataclass(frozen=True)
class Line:
    """A row.

    Attributes:
        title: what a reader calls the model or change.
        label: what records call it.
        shown: under each head.
        facts: of the row, for CSV and JSON.
        rule_above: whether a thin rule stands above it.
    """

    title: str
    label: str
    shown: Sequence[Shown]
    facts: Mapping[str, Any] = field(default_factory=dict)
    rule_above: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: for labels and files: `main-vqa-easy_vqa`.
        title: in few words.
        caption: sentences that say data, seeds and statistics.
        heads: above the columns; the lines' titles have `first` above them.
        lines: in order.
        remarks: what else a reader must know, a sentence each.
        spread: what stands beside values.
        tests: that its marks are of.
        first: above the lines' titles.
    """

    name: str
    title: str
    caption: str
    heads: Sequence[Head]
    lines: Sequence[Line]
    remarks: Sequence[str] = ()
    spread: str = "sd"
    tests: int = 0
    first: str = "Model"


def decimals_for(cells: Iterable[Cell], least: int) -> int:
    """How many decimals the numbers of a column deserve: one digit of their median uncertainty.

    >>> decimals_for([Cell({0: 1.0}, 1.0, 0.0004, None, 100.0)], least=1)
    2
    """
    halves = []
    for cell in cells:
        if cell.sd is not None:
            halves.append(cell.sd * cell.scale)
        elif cell.interval is not None:
            halves.append((cell.interval.high - cell.interval.low) / 2 * cell.scale)
    known = sorted(half for half in halves if half > 0 and math.isfinite(half))
    if not known:
        return max(least, 1)
    return min(max(least, -math.floor(math.log10(known[(len(known) - 1) // 2]))), _MOST_DECIMALS)


def number_of(cell: Cell, mark: Mark, best: bool, decimals: int) -> Number:
    """A cell as it is shown."""
    interval = cell.interval
    return Number(
        mean=cell.mean,
        sd=cell.sd,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        seeds=len(cell.values),
        scale=cell.scale,
        decimals=decimals,
        best=best,
        mark=mark,
    )


def best_of(cells: Mapping[str, Cell], higher_is_better: bool) -> set[str]:
    """The labels of the best of several, more than one where they are equal; of one alone none.

    >>> cell = Cell({0: 0.5}, 0.5, None, None, 100.0)
    >>> sorted(best_of({"a": cell, "b": cell, "c": Cell({0: 0.4}, 0.4, None, None, 100.0)}, True))
    ['a', 'b']
    """
    if len(cells) < 2:
        return set()
    means = {label: cell.mean for label, cell in cells.items()}
    best = max(means.values()) if higher_is_better else min(means.values())
    return {label for label, mean in means.items() if math.isclose(mean, best, rel_tol=1e-9)}
