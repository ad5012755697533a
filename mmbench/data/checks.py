"""What makes a sample unusable, and how the user is told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mmbench.data.table import Kind
from mmbench.errors import MMBenchError

LONGEST_TEXT = 5_000  # characters: no caption or question of any dataset here comes near
_SHOWN = 3  # reasons in a message


def row_problems(rows: Sequence[Mapping[str, Any]], kind: Kind) -> dict[int, str]:
    """By place, why the texts of a row cannot be used."""
    problems = {}
    seen = set()
    for place, row in enumerate(rows):
        why = _text_problem(row, kind)
        key = row.get("id", row["row"])
        if key in seen:
            why = "another sample has this id"
        seen.add(key)
        if why:
            problems[place] = f"sample {key}: {why}"
    return problems


def _text_problem(row: Mapping[str, Any], kind: Kind) -> str:
    if kind == "questions":
        if row.get("target") is None or row["target"] == []:
            return "it has no answer"
        texts, name = [row.get("text")], "question"
    elif isinstance(row.get("captions"), list) and row["captions"]:
        texts, name = row["captions"], "caption"
    else:
        return "it has no caption"
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            return f"its {name} is {text!r}, not a text"
        if len(text) > LONGEST_TEXT:
            return (
                f"its {name} has {len(text):,} characters, more than {LONGEST_TEXT:,}: "
                f"{text[:40]!r}..."
            )
    return ""


def leaves(folder: Path, path: Path) -> bool:
    """Whether a path goes out of a folder by `..` or as an absolute one.

    Links are followed wherever they lead: who made them had the right to.
    """
    whole = os.path.normpath(folder.absolute())
    return os.path.commonpath([whole, os.path.normpath(path.absolute())]) != whole


def complain(where: str, reasons: Sequence[str], of: int) -> NoReturn:
    """Raise an MMBenchError that says how many samples cannot be used, and the first reasons.

    Args:
        where: dataset, split and folder.
        reasons: why samples cannot be used, one each.
        of: how many samples there are.
    """
    raise MMBenchError(
        f"{where}: {len(reasons):,} of {of:,} samples cannot be used: {first_reasons(reasons)}. "
        "--skip-bad leaves such samples out and counts them."
    )


def first_reasons(reasons: Sequence[str]) -> str:
    """The first few reasons, each once, and how many more there are.

    >>> first_reasons(["a", "b", "b", "c", "d", "e"])
    'a; b; c; and 2 more'
    """
    different = list(dict.fromkeys(reasons))
    more = len(different) - _SHOWN
    return "; ".join(different[:_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")
