"""Figures of a report, one file a kind; drawn from the same numbers as its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmbench.records.writing import writing_to
from mmbench.reports.document import Picture
from mmbench.reports.figures.intervals import comparison
from mmbench.reports.figures.kinds import kinds
from mmbench.reports.figures.pareto import pareto
from mmbench.reports.figures.ranks import critical_differences
from mmbench.reports.figures.robustness import robustness_curves
from mmbench.reports.figures.style import Drawn, save
from mmbench.reports.figures.training import training_curves
from mmbench.reports.layouts.options import Options
from mmbench.reports.table import Table

OF_A_TABLE: tuple[Callable[[Table, Options], Drawn | None], ...] = (
    comparison,
    kinds,
    training_curves,
    pareto,
)


def draw(tables: Sequence[Table], options: Options) -> tuple[list[Drawn], list[str]]:
    """All figures that there are numbers for, and why others are not there, a line each."""
    drawn = [made for table in tables for kind in OF_A_TABLE if (made := kind(table, options))]
    compared = options.beside.comparisons if options.beside is not None else []
    drawn += [made for each in compared if (made := robustness_curves(each))]
    notes = []
    for task in dict.fromkeys(table.columns[0].task for table in tables):
        made, why = critical_differences([t for t in tables if t.columns[0].task == task], options)
        drawn += [made] if made else []
        notes += [why] if why else []
    return drawn, notes


def write(drawn: Sequence[Drawn], folder: Path) -> list[Picture]:
    """Figures as PDF and PNG in a folder, which is made if it is not there."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return [Picture(d.name, d.caption, *save(d, folder)) for d in drawn]
