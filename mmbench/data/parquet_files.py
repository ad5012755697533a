"""Reads Parquet files. Whatever is wrong with one is a clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError, in_one_line

MOST_ROWS = 50_000_000  # of a file, whose few bytes may declare any number


def read_parquet(path: Path) -> list[Any]:
    """The rows of a Parquet file, as objects by column.

    Raises: MMBenchError if it cannot be read, has a column twice, or declares too many rows.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            parquet = pyarrow.parquet.ParquetFile(file)
            names = parquet.schema_arrow.names
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                raise MMBenchError(f"{path} has the column {twice[0]} more than once")
            if parquet.metadata.num_rows > MOST_ROWS:
                raise MMBenchError(
                    f"{path} declares {parquet.metadata.num_rows:,} rows: {MOST_ROWS:,} are read "
                    "at most"
                )
            return parquet.read().to_pylist()
    except (OSError, pyarrow.ArrowException, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or in_one_line(error)
        raise MMBenchError(f"cannot read {path} as Parquet: {why}") from None
