"""A CSV or TSV file with a row a sample, and its media beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmbench.data.readers.columns import ColumnTable, without_nan
from mmbench.data.text_files import read_csv
from mmbench.errors import MMBenchError, brief


class CsvTable(ColumnTable):
    """Rows of a file whose first line names the columns, or that has no such line.

    A value `nan` is none: it is what programs write that have none.

    A row's column `$row` is its number, from 0, and `$shard` that over 10,000, rounded down: what
    img2dataset names the files of a list of addresses by.

    Attributes:
        delimiter: between values.
        header: the columns of a file that does not name them.
    """

    delimiter: str = ","
    header: list[str] | None = None

    def records(self, path: Path) -> list[Any]:
        rows = read_csv(path, self.delimiter, self.header)
        names = list(rows[0]) if rows else []
        if len(names) == 1 and (other := _other_delimiter(names[0], self.delimiter)):
            raise MMBenchError(
                f"{path}: its first line is one column, {brief(names[0])}: if its values are "
                f"separated otherwise, its layout must say `delimiter: {other}`"
            )
        if self.header and rows and list(rows[0].values()) == self.header:
            rows = rows[1:]  # img2dataset needs the header, so that users add it to the file
        return [
            {"$row": n, "$shard": n // 10_000}
            | {name: without_nan(value) for name, value in row.items()}
            for n, row in enumerate(rows)
        ]


def _other_delimiter(line: str, delimiter: str) -> str:
    """What separates values of a line that holds none of the delimiter, as YAML has it; or ""."""
    return next((json.dumps(c) for c in "\t;,|" if c in line and c != delimiter), "")
