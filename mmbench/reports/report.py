"""From records on disk to tables in a paper's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.records.store import find_records
from mmbench.records.verification import verified
from mmbench.reports.formats import FORMATS
from mmbench.reports.table import make_tables


def report(paths: Sequence[str | Path] | str | Path, format: str = "markdown") -> str:
    """The tables of all records at or below the paths, one for each task and dataset.

    Args:
        paths: folders of records; searched at any depth.
        format: "markdown", "latex" (booktabs) or "csv".
    Raises: MMBenchError if there is no record there, one was changed after its run, or there is
        no such format.
    """
    if format not in FORMATS:
        raise MMBenchError(
            f"no format '{format}'.{did_you_mean(format, FORMATS)} There is {', '.join(FORMATS)}."
        )
    listed = [paths] if isinstance(paths, str | Path) else paths
    folders = find_records([Path(path) for path in listed])
    return FORMATS[format](make_tables([verified(folder) for folder in folders]))
