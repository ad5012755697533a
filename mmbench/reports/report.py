"""From records on disk to tables in a paper's format."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.checks import first_reasons
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.result import RunResult
from mmbench.records.record import Record
from mmbench.records.store import find_records
from mmbench.records.verification import verified
from mmbench.reports.escape import one_line
from mmbench.reports.formats import FORMATS
from mmbench.reports.table import make_tables


@dataclass(frozen=True)
class Report:
    """Tables, and the records that could not be in them.

    Attributes:
        text: the tables, in the format that was asked for.
        left_out: of each record and folder that could not be read, which and why.
    """

    text: str
    left_out: list[str]


def make_report(
    paths: Sequence[str | Path] | str | Path, format: str = "markdown", allow_mixed: bool = False
) -> Report:
    """The tables of all records at or below the paths that can be read, and why others cannot.

    Args: as `report`.
    Raises: MMBenchError if there is no record there that can be read, or no such format.
    """
    if format not in FORMATS:
        raise MMBenchError(
            f"no format '{format}'.{did_you_mean(format, FORMATS)} There is {', '.join(FORMATS)}."
        )
    listed = [paths] if isinstance(paths, str | Path) else paths
    runs: list[RunResult] = []
    left_out: list[str] = []
    folders = find_records([Path(path) for path in listed], lambda _, why: left_out.append(why))
    for folder in folders:
        try:
            runs.append(RunResult(_usable(folder), folder, reused=True))
        except MMBenchError as error:
            left_out.append(str(error))
    if not runs:
        raise MMBenchError(f"no record there can be reported: {first_reasons(left_out)}")
    return Report(FORMATS[format](make_tables(runs, allow_mixed)), left_out)


def report(
    paths: Sequence[str | Path] | str | Path, format: str = "markdown", allow_mixed: bool = False
) -> str:
    """The tables of all records at or below the paths, one for each task and dataset.

    A record that cannot be used (unreadable, changed after its run, of another schema) is left out
    with a UserWarning that names it and says why; the others are reported.

    Args:
        paths: folders of records; searched at any depth.
        format: "markdown", "latex" (booktabs) or "csv".
        allow_mixed: put runs of different kinds of device, or of versions of one part, into one
            column.
    Raises: MMBenchError if there is no record there that can be used, or no such format.
    """
    made = make_report(paths, format, allow_mixed)
    for reason in made.left_out:
        warnings.warn(f"left out of the report: {one_line(reason)}", stacklevel=2)
    return made.text


def _usable(folder: Path) -> Record:
    """A record as its run left it, with a value that a table can show."""
    record = verified(folder)
    if all(entry.category is not None for entry in record.metrics):
        raise MMBenchError(f"{folder} holds no value over all samples")
    return record
