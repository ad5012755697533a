"""Tables whose columns are named by a dataset's YAML: what its readers have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from uuid import UUID

from mmbench.data.checks import is_missing
from mmbench.data.table import Kind, MediaFiles, Reader, Table
from mmbench.errors import MMBenchError
from mmbench.yaml_file import Settings

Columns = Mapping[str, int | str | list[str]]


class MoreRows(Settings):
    """Further rows of the same records, such as their questions in other words.

    Attributes:
        where: by their column, the pattern that its value must match.
        columns: where they differ from the table's.
    """

    where: dict[str, str]
    columns: dict[str, int | str | list[str]]


class ColumnTable(Reader):
    """A row a sample, and its media beside it.

    Attributes:
        table: the file, below the dataset's folder.
        columns: by our column (`text`, `target`, `image`, `captions`, ...), the position or name of
            theirs. A dot goes into a column that holds records, as `answers.answer`; a list of
            names makes a list.
        where: by their column, the pattern that its value must match; `!` before it for must not.
        more: by a name, which their ids end in (`12/framed`), further rows, after all others.
        lower: our columns whose texts are made lower-case, without spaces at their ends.
        images, videos, sounds: the pattern of a medium's file; `{image}`, or any other of our
            columns in braces, stands for its value.
    """

    kinds = ("questions", "captions")

    table: str
    columns: dict[str, int | str | list[str]]
    where: dict[str, str] = {}
    more: dict[str, MoreRows] = {}
    lower: list[str] = []
    images: str | None = None
    videos: str | None = None
    sounds: str | None = None

    @abstractmethod
    def records(self, path: Path) -> list[Any]:
        """The rows of the file, as it has them."""

    def read(self, folder: Path, split: str, kind: Kind) -> Table:
        path = folder / self.table
        check_columns(self.columns, kind, path)
        records = self.records(path)
        rows = self._rows(records, self.where, self.columns, path)
        for name, more in self.more.items():
            found = self._rows(records, more.where, self.columns | more.columns, path)
            rows += [r | {"id": f"{r['id']}/{name}"} if "id" in r else r for r in found]
        patterns = {"image": self.images, "video": self.videos, "audio": self.sounds}
        return Table(rows, {m: files(rows, m, folder, p) for m, p in patterns.items() if p})

    def _rows(
        self, records: Sequence[Any], where: Mapping[str, str], columns: Columns, path: Path
    ) -> list[dict[str, Any]]:
        """The rows of those records that match."""
        return [
            row_of(record, columns, path, number, self.lower)
            for number, record in enumerate(records)
            if all(_matches(record, *condition, path) for condition in where.items())
        ]


def check_columns(columns: Columns, kind: Kind, where: Any) -> None:
    """Whether a table with these columns is of a kind.

    Raises: MMBenchError if it is not.
    """
    needed = ("text", "target") if kind == "questions" else ("captions",)
    absent = [name for name in needed if name not in columns]
    if absent:
        raise MMBenchError(
            f"{where}: a table of {kind} needs the column {absent[0]}; "
            f"the dataset's YAML names {', '.join(columns)}"
        )


def row_of(
    record: Any, columns: Columns, where: Any, number: int, lower: Sequence[str] = ()
) -> dict[str, Any]:
    """A record's values by our columns.

    Ids, groups, categories, answers and choices become texts. A target that is the place of one of
    the record's `choices` becomes that choice. What cannot be any of these stays as it is, for
    `mmbench.data.checks.row_problems` to name.

    Args:
        record: a row as its file has it.
        columns: by our column, theirs.
        where, number: what a message calls the file and the row.
        lower: our columns whose texts are made lower-case, without spaces at their ends.
    Raises: MMBenchError if it lacks the columns.
    """
    try:
        row = {name: value_at(record, key) for name, key in columns.items()}
    except (LookupError, TypeError):
        raise MMBenchError(f"{where}: row {number} {_lacking(record, columns)}") from None
    row = {name: _plain(value) for name, value in row.items()}
    for name in ("id", "group"):
        if name in row:
            row[name] = as_text(row[name])
    if "category" in row:
        row["category"] = None if is_missing(row["category"]) else str(row["category"])
    if "target" in row:
        row["target"], row["choices"] = answer_of(row["target"], row.get("choices"))
        if "choices" not in columns:
            del row["choices"]
    return row | {name: _lower(row[name]) for name in lower}


def _lacking(record: Any, columns: Columns) -> str:
    """Which columns a row lacks, as its file and as we call them, and what it has instead."""
    absent = []
    for name, key in columns.items():
        try:
            value_at(record, key)
        except (LookupError, TypeError):
            absent.append(f"{key} ({name})")
    if isinstance(record, dict):
        has = ", ".join(str(name) for name in record if not str(name).startswith("$"))
    else:
        has = f"{len(record)} values" if isinstance(record, list) else str(record)
    return f"lacks the columns {', '.join(absent)}; it has {has[:200] or 'none'}"


def as_text(value: Any) -> Any:
    """A number as a text; a text as it is. What is neither stays, for the check of rows to name.

    >>> [as_text(value) for value in (3, "no", True, None)]
    ['3', 'no', 'True', None]
    """
    known = isinstance(value, int | float) and math.isfinite(value)
    return str(value) if known else value


def without_nan(text: str) -> str | None:
    """A text; None where it is `nan`, which stands for no value in files that know but texts.

    >>> without_nan("NaN"), without_nan("no")
    (None, 'no')
    """
    return None if text.strip().lower() == "nan" else text


def _plain(value: Any) -> Any:
    """A value as JSON has it: days and exact numbers, which Parquet knows too, become texts."""
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else math.nan
    return str(value) if isinstance(value, date | time | timedelta | UUID) else value


def answer_of(target: Any, choices: Any) -> tuple[Any, Any]:
    """A target and the choices as texts; a target that is the place of a choice as that choice."""
    if isinstance(choices, list):
        choices = [as_text(choice) for choice in choices]
    if isinstance(target, list):
        return [as_text(answer) for answer in target], choices
    is_number = isinstance(target, int | float) and not isinstance(target, bool)
    if is_number and isinstance(choices, list) and choices:
        if target in range(len(choices)):
            return choices[int(target)], choices
        if as_text(target) not in choices:  # stays a number, for the check of rows to name
            return target, choices
    return as_text(target), choices


def value_at(record: Any, key: int | str | Sequence[str]) -> Any:
    """The value of a column.

    >>> value_at({"answers": [{"answer": "yes"}, {"answer": "no"}]}, "answers.answer")
    ['yes', 'no']
    >>> value_at({"a": 1, "b": 2}, ["b", "a"])
    [2, 1]
    """
    if isinstance(key, int):
        return record[key]
    if not isinstance(key, str):
        return [value_at(record, name) for name in key]
    for name in key.split("."):
        many = isinstance(record, list)
        record = [inner[name] for inner in record] if many else record[name]
    return record


def files(
    rows: Sequence[Mapping[str, Any]], modality: str, folder: Path, pattern: str
) -> MediaFiles:
    """The file of each row's medium, but of those that name none.

    Raises: MMBenchError if the pattern does not fit the values.
    """
    found = {}
    for row in rows:
        key = row.get(modality, "")
        if modality in row and (is_missing(key) or not isinstance(key, int | str)):
            continue
        try:
            found[row[modality]] = folder / pattern.format_map(row)
        except (LookupError, ValueError, TypeError) as error:
            raise MMBenchError(
                f"the pattern of {modality}s, {pattern}, does not fit "
                f"{modality} = {str(row.get(modality))[:80]!r}: {error}"
            ) from None
    return found


def _matches(record: Any, column: str, pattern: str, path: Path) -> bool:
    try:
        value = str(value_at(record, column)).strip()
    except (LookupError, TypeError):
        raise MMBenchError(f"{path}: a row has no {column}: {str(record)[:80]}") from None
    if pattern.startswith("!"):
        return not fnmatchcase(value, pattern[1:])
    return fnmatchcase(value, pattern)


def _lower(value: Any) -> Any:
    if isinstance(value, list):
        return [_lower(inner) for inner in value]
    return value.strip().lower() if isinstance(value, str) else value
