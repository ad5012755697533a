"""What lies beside records of damaged inputs, and the comparisons that can be made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.experiments.robustness import RobustnessComparison, summary
from mmbench.records.robustness_file import RobustnessFile, read_robustness
from mmbench.reports.captions import listed
from mmbench.reports.cells import Column
from mmbench.reports.table import Row, Table


@dataclass(frozen=True)
class Compared:
    """Models of one column under damage.

    Attributes:
        column: that their undamaged values stand in.
        rows: of all models of the column.
        found: what they keep; by the rows' labels.
        remarks: which models or seeds are not in it, a sentence each.
        parts: what tells it from others of its task and dataset.
    """

    column: Column
    rows: Sequence[Row]
    found: RobustnessComparison
    remarks: Sequence[str]
    parts: Sequence[str] = ()


class Beside:
    """The robustness files of the runs of tables. Nothing is asked anew.

    Args:
        tables: whose runs; of those without a file nothing is known.
        left_out: the files that cannot be used are added to it, and why.
    """

    def __init__(self, tables: Sequence[Table], left_out: list[str]) -> None:
        self._tables, self._left_out = tables, left_out
        self._files = {
            run.path: file
            for run in _runs(row for table in tables for row in table.rows)
            if (file := _file_of(run, left_out)) is not None
        }

    def conditions(self, row: Row) -> list[tuple[str, str]]:
        """The corruptions and modalities that all runs of a row were asked under."""
        files = [self._files.get(run.path) for run in row.results()]
        every = [
            {(e.corruption, e.modality) for e in file.about.conditions.values()} if file else set()
            for file in files
        ]
        return sorted(set.intersection(*every)) if every else []

    @cached_property
    def comparisons(self) -> list[Compared]:
        """One for each column of a primary metric in which any model was asked."""
        made = [
            compared
            for table in self._tables
            for column in table.columns
            if (compared := self._compared(table, column)) is not None
        ]
        where = Counter((each.column.task, each.column.dataset) for each in made)
        return [
            replace(each, parts=[repr(each.column)])
            if where[each.column.task, each.column.dataset] > 1
            else each
            for each in made
        ]

    def _compared(self, table: Table, column: Column) -> Compared | None:
        runs: dict[str, list[RunResult]] = {}
        files: dict[str, dict[int, RobustnessFile]] = {}
        remarks, rows = [], [row for row in table.rows if column in row.runs]
        for row in rows:
            of_row = row.runs[column]
            asked = {
                seed: file
                for seed, run in of_row.items()
                if run.record.primary.signature == column.signature
                and (file := self._files.get(run.path)) is not None
            }
            if asked:
                runs[row.label] = [of_row[seed] for seed in sorted(asked)]
                files[row.label] = asked
            if 0 < len(asked) < len(of_row):
                remarks.append(f"{row.title}: {len(asked)} of {len(of_row)} seeds were asked.")
        if not files:
            return None
        others = [row.title for row in rows if row.label not in files and row.record.parameters]
        if others:
            remarks.append(f"Not asked: {listed(others)}.")
        try:
            found = summary(runs, files, others=_runs(rows))
        except MMBenchError as error:
            self._left_out.append(f"robustness of {table.title}: {error}")
            return None
        return Compared(column, rows, found, remarks)


def _runs(rows: Iterable[Row]) -> list[RunResult]:
    return list({run.path: run for row in rows for run in row.results()}.values())


def _file_of(run: RunResult, left_out: list[str]) -> RobustnessFile | None:
    """A run's file; None, and a reason in the list, of one that cannot be used."""
    try:
        file = read_robustness(run.path)
    except MMBenchError as error:
        left_out.append(str(error))
        return None
    made = file and (file.about.made.run, file.about.made.metric)
    return file if made == (run.record.hash, run.record.primary.signature) else None
