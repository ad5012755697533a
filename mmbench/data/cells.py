"""Cells of tables from elsewhere, whatever types they have there, as plain texts and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmbench.errors import MMBenchError, brief
from mmbench.json_text import REPLACEMENT

Row = Mapping[str, Any]


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: null, NaN (as pandas writes null), or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def as_text(value: Any) -> str | None:
    """An id, group or category as text; None for what is not text, number or truth value.

    A whole number is the same text in every file: a column of numbers of which one is missing has
    become one of floats.

    >>> as_text("11"), as_text(11), as_text(11.0), as_text(0.5), as_text(True), as_text([11])
    ('11', '11', '11', '0.5', 'true', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float) and value == value:
        return str(value)
    return None


def as_texts(value: Any) -> list[str] | None:
    """A cell that is a text, or a list of one text or more, as a list; None for anything else.

    >>> as_texts("a dog"), as_texts(["a dog", "the dog"]), as_texts(b"a dog"), as_texts([])
    (['a dog'], ['a dog', 'the dog'], None, None)
    """
    values = [value] if isinstance(value, str) else value
    whole = isinstance(values, list) and values and all(isinstance(v, str) for v in values)
    return list(values) if whole else None


def ids(values: Iterable[Any], where: Any) -> list[str]:
    """Ids as texts.

    Raises: MMBenchError for what is not an id, naming the rows.
    """
    found = list(values)
    texts = [None if is_missing(value) else as_text(value) for value in found]
    odd = [row for row, text in enumerate(texts) if text is None]
    if odd:
        raise MMBenchError(
            f"{where}: {len(odd):,} ids are not texts or numbers: row {odd[0]} has "
            f"{_shown(found[odd[0]])}"
        )
    return [text for text in texts if text is not None]


def labels(values: Iterable[Any], names: Sequence[str], what: str, where: Any) -> list[str | None]:
    """Groups or categories as texts; None where there is none.

    Args:
        values: of the column.
        names: the ids of the rows, for an error.
        what: the column.
        where: the file.
    Raises: MMBenchError for what is not text or number.
    """
    found = [(None if is_missing(value) else value) for value in values]
    texts = [as_text(value) for value in found]
    odd = [i for i, text in enumerate(texts) if text is None and found[i] is not None]
    complain(
        [names[i] for i in odd], f"have a {what} that is not text or number", where, _of(found, odd)
    )
    return texts


def texts(values: Sequence[Any], names: Sequence[str], what: str, where: Any) -> list[str]:
    """Predictions, questions: cells that are texts.

    Raises: MMBenchError for what is none, as above.
    """
    odd = [i for i, value in enumerate(values) if not isinstance(value, str)]
    complain([names[i] for i in odd], f"have a {what} that is not a text", where, _of(values, odd))
    return list(values)


def targets(values: Sequence[Any], names: Sequence[str], where: Any) -> list[str | list[str]]:
    """Targets, each a text, or each a list of texts: where some are lists, all are.

    Raises: MMBenchError for what is neither, or an empty list, as above.
    """
    found = [as_texts(value) for value in values]
    odd = [i for i, answers in enumerate(found) if answers is None]
    wanted = "have a target that is not a text or a list of texts"
    complain([names[i] for i in odd], wanted, where, _of(values, odd))
    several = any(not isinstance(value, str) for value in values)
    return [answers if several else answers[0] for answers in found if answers]


def lost_characters(what: str, values: Iterable[str | list[str]]) -> list[str]:
    """A note where texts hold U+FFFD: a character was lost before, or was half of one."""
    count = sum(REPLACEMENT in (v if isinstance(v, str) else "".join(v)) for v in values)
    return [f"{count:,} {what} hold U+FFFD, where a character was lost or cut"] if count else []


def complain(names: Sequence[str], what: str, where: Any, example: str = "") -> None:
    """Raise MMBenchError if there are any names: how many, and the first five."""
    if names:
        which = f"{first_ids(names)}{example}"
        raise MMBenchError(f"{where}: {len(names):,} ids {what}: {which}")


def first_ids(names: Sequence[Any]) -> str:
    """The first five, for a message."""
    shown = [name if len(name) <= 80 else f"{name[:77]}..." for name in map(str, names[:5])]
    return ", ".join(shown) + (", ..." if len(names) > 5 else "")


def _of(values: Sequence[Any], odd: Sequence[int]) -> str:
    return f" (the first is {_shown(values[odd[0]])})" if odd else ""


def _shown(value: Any) -> str:
    return "null" if value is None else f"{brief(value)}, of type {type(value).__name__}"
