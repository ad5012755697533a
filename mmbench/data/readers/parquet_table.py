"""A Parquet file with a row a sample, and its media beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.data.parquet_files import read_parquet
from mmbench.data.readers.columns import ColumnTable


class ParquetTable(ColumnTable):
    """Rows of a file whose columns name the files of media.

    Where the media themselves stand in the file, `hub` with the `path` of its folder reads it.
    """

    def records(self, path: Path) -> list[Any]:
        return read_parquet(path)
