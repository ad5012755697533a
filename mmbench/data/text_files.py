"""Reads files of text: JSON, CSV, lists of lines. Whatever is wrong with one is a clear line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError, brief
from mmbench.json_text import parse_json


@contextmanager
def layout(path: Path, what: str) -> Iterator[None]:
    """Inside, a key, place or type that is not there means: this file is of another layout.

    Args:
        path: the file that is read.
        what: it should be, with its layout: "VQA questions, {questions: [...]}".
    Raises: MMBenchError saying so.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise MMBenchError(f"{path} is not {what}: {missing}") from None


def read_text(path: Path) -> str:
    """A file's text, with its line ends as they are, without a byte-order mark.

    Raises: MMBenchError if it cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MMBenchError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        if error.object.startswith(b"PAR1"):
            raise MMBenchError(
                f"{path} is no text, but a Parquet file: a dataset's layout reads it by `reader: "
                "parquet_table`, and predictions are read if its name ends in .parquet"
            ) from None
        raise MMBenchError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:  # a null byte in the path
        raise MMBenchError(f"cannot read {path}: {error}") from None


def text_lines(text: str) -> list[str]:
    r"""The lines of a text: \n, \r\n and \r end one.

    Nothing else does, as it would for `str.splitlines`: a caption may hold a form feed, or the
    separators U+0085, U+2028 and U+2029.

    >>> text_lines("one\r\ntwo\u2028still two\n")
    ['one', 'two\u2028still two']
    """
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


def read_json(path: Path, unique_keys: bool = False) -> Any:
    """A JSON file's value.

    Args:
        path: the file.
        unique_keys: whether a key that is there twice is an error: where keys are ids.
    Raises: MMBenchError if it cannot be read, is not UTF-8, not JSON, or nested too deeply.
    """
    return parse_json(read_text(path), str(path), unique_keys)


def read_json_lines(path: Path) -> list[Any]:
    """The values of a file with JSON on every line; empty lines are passed over.

    Raises: MMBenchError, naming the line, as `read_json`.
    """
    lines = read_text(path).split("\n")  # what else ends a line may stand in a value
    return [
        parse_json(line, f"{path}: line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip(" \t\r")
    ]


def read_lines(path: Path) -> list[str]:
    """The lines of a file that are not empty, without spaces at their ends."""
    return [line.strip() for line in text_lines(read_text(path)) if line.strip()]


def read_csv(
    path: Path, delimiter: str = ",", header: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """The rows of a CSV file by column.

    Args:
        path: the file; its first line names the columns unless `header` does.
        delimiter: between values; where it is a tab, quotes have no meaning.
        header: the columns of a file that does not name them.
    Raises: MMBenchError if it cannot be read, or a row has another number of values.
    """
    csv.field_size_limit(sys.maxsize)  # a caption longer than 128 KiB is told of later, as one
    text = read_text(path)
    try:
        if delimiter == "\t":
            rows = [line.split("\t") for line in text_lines(text) if line]
        else:
            lines = io.StringIO(text, newline="")  # a quoted value keeps its line ends
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error as error:
        raise MMBenchError(f"{path} is not a table: {error}") from None
    if header is None and not rows:
        raise MMBenchError(f"{path} is empty: its first line should name its columns")
    names = [name.strip() for name in (header if header is not None else rows.pop(0))]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        raise MMBenchError(f"{path} has the column {twice[0]} twice: which one is meant?")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise MMBenchError(
                f"{path}: row {number} has {len(row)} values where the columns are "
                f"{', '.join(names)}: {brief(row)}"
            )
    return [dict(zip(names, row, strict=True)) for row in rows]
