"""A JSON file with a row a sample, and its media beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.readers.columns import ColumnTable, value_at
from mmbench.data.text_files import layout, read_json, read_json_lines


class JsonTable(ColumnTable):
    """Rows that are lists or objects, in a list; or objects in an object, by their key.

    Of a file called `.jsonl` or `.ndjson`, each line is a row.

    Attributes:
        rows: where the rows are, if not at the top: `data`, or `a.b`. The key of a row in an
            object is its column `$key`.
    """

    rows: str | None = None

    def records(self, path: Path) -> list[Any]:
        if path.suffix in (".jsonl", ".ndjson"):
            return read_json_lines(path)
        value = read_json(path)
        at = f" at '{self.rows}'" if self.rows else ""
        with layout(path, f"a table, with its rows{at}"):
            if self.rows:
                value = value_at(value, self.rows)
            if isinstance(value, dict):
                return [{"$key": key} | record for key, record in value.items()]
            if not isinstance(value, list):
                raise TypeError(f"it holds a {type(value).__name__}")
        return value
