"""A CSV or TSV file with a row a sample, and its media beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.readers.columns import ColumnTable
from mmbench.data.text_files import read_csv


class CsvTable(ColumnTable):
    """Rows of a file whose first line names the columns, or that has no such line.

    A row's column `$row` is its number, from 0.

    Attributes:
        delimiter: between values.
        header: the columns of a file that does not name them.
    """

    delimiter: str = ","
    header: list[str] | None = None

    def records(self, path: Path) -> list[Any]:
        """See `ColumnTable`."""
        rows = read_csv(path, self.delimiter, self.header)
        return [{"$row": number} | row for number, row in enumerate(rows)]
