"""A JSON list with a row a sample, and its images beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmbench.data.table import Reader, Table
from mmbench.errors import MMBenchError


class JsonTable(Reader):
    """Rows that are lists or objects.

    Attributes:
        table: the file, below the dataset's folder.
        columns: the position or key in a row of `text`, `target`, `image`, `captions`, ...
        images: the pattern of an image's file; `{image}` stands for the row's image column.
    """

    kinds = ("questions", "captions")

    table: str
    columns: dict[str, int | str]
    images: str | None = None

    def read(self, folder: Path, split: str, kind: str) -> Table:
        """See `Reader.read`."""
        rows = self._rows(folder / self.table)
        if self.images is None:
            return Table(rows)
        files = {row["image"]: folder / self.images.format(image=row["image"]) for row in rows}
        return Table(rows, {"image": files})

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise MMBenchError(f"{path}: cannot be read as JSON: {error}") from None
        rows = []
        for number, record in enumerate(table):
            try:
                rows.append({name: record[key] for name, key in self.columns.items()})
            except (LookupError, TypeError):
                raise MMBenchError(
                    f"{path}: row {number} has not the columns {sorted(self.columns)}: "
                    f"{str(record)[:80]}"
                ) from None
        return rows
