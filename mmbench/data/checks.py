"""What makes a sample unusable, and how the user is told."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mmbench.data.stored import Stored
from mmbench.data.table import Kind
from mmbench.errors import MMBenchError

LONGEST_TEXT = 5_000  # characters: no caption or question of any dataset here comes near
_SHOWN = 3  # reasons in a message
_LONGEST_SHOWN = 60  # characters of a value in a message
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_missing(value: Any) -> bool:
    """Whether a value is none: null, not a number, or a text without a character.

    >>> [is_missing(value) for value in (None, float("nan"), " ", 0, "no")]
    [True, True, True, False, False]
    """
    return value is None or (value != value) or (isinstance(value, str) and not value.strip())


def is_text(value: Any) -> bool:
    """Whether a value can be a caption, a question or an answer."""
    return not _text_problem(value)


def row_problems(
    rows: Sequence[Mapping[str, Any]],
    kind: Kind,
    modalities: Sequence[str] = (),
    several: Collection[str] = (),
) -> dict[int, str]:
    """By place, why a row cannot be used.

    Args:
        rows: of a table; see `mmbench.data.table.Table`.
        kind: of table.
        modalities: of its media.
        several: those of which a row may have a list.
    """
    problems = {}
    seen = set()
    for place, row in enumerate(rows):
        key = row.get("id", row["row"])
        named = isinstance(key, int | str) and not is_missing(key)
        why = _problem(row, kind, modalities, several)
        if not named:
            why = "it has no id" if is_missing(key) else f"its id is {_shown(key)}, not a text"
        elif key in seen:
            why = why or "another sample has this id"
        else:
            seen.add(key)
        if why:
            sample = f"sample {_printable(key)}" if named else f"the sample of row {row['row']}"
            problems[place] = f"{sample}: {why}"
    return problems


def _problem(
    row: Mapping[str, Any], kind: Kind, modalities: Sequence[str], several: Collection[str]
) -> str:
    for modality in modalities:
        if modality not in row:
            continue
        key = row[modality]
        if is_missing(key) or key == []:
            return f"it has no {modality}"
        keys = key if isinstance(key, list) and modality in several else [key]
        if odd := [one for one in keys if not isinstance(one, int | str)]:
            return f"its {modality} is {_shown(odd[0])}, not a name"
    if is_missing(group := row.get("group")):
        return "it has no group"
    if not isinstance(group, int | str):
        return f"its group is {_shown(group)}, not a name"
    if kind == "questions":
        why = _named_problem("question", row.get("text")) or _answer_problem(row)
    else:
        captions = row.get("captions")
        texts = captions if isinstance(captions, list) and captions else [captions]
        why = next(filter(None, (_named_problem("caption", text) for text in texts)), "")
    names = sorted(row, key="group".__eq__)  # last, since it may be the medium's name
    return why or next(filter(None, (_plain_problem(name, row[name]) for name in names)), "")


def _answer_problem(row: Mapping[str, Any]) -> str:
    target, choices = row.get("target"), row.get("choices")
    if is_missing(target) or target == []:
        return "it has no answer"
    answers = target if isinstance(target, list) else [target]
    which = "one of its answers" if isinstance(target, list) else "its answer"
    for answer in answers:
        if why := _text_problem(answer):
            if isinstance(answer, int | float) and isinstance(choices, list):
                why = f"is {answer!r}, not the place of one of its {len(choices)} choices"
            return f"{which} {why}"
    if is_missing(choices) or choices == []:
        return ""
    if not isinstance(choices, list):
        return f"its choices are {_shown(choices)}, not a list"
    for choice in choices:
        if why := _text_problem(choice):
            return f"one of its choices {why}"
    if not set(answers) & set(choices):
        return f"its answer {_shown(answers[0])} is none of its choices"
    return ""


def _named_problem(name: str, value: Any) -> str:
    if value is None or value == []:
        return f"it has no {name}"
    why = _text_problem(value)
    return f"its {name} {why}" if why else ""


def _text_problem(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        return f"is {_shown(value)}, not a text"
    if len(value) > LONGEST_TEXT:
        return f"has {len(value):,} characters, more than {LONGEST_TEXT:,}: {_shown(value)}"
    if not _is_unicode(value):
        return f"holds half a character (a lone surrogate): {_shown(value)}"
    return ""


def _plain_problem(name: str, value: Any) -> str:
    """Why a value of any column is not plain JSON."""
    if isinstance(value, str):
        if not _is_unicode(value):
            return f"its {name} holds half a character (a lone surrogate): {_shown(value)}"
    elif isinstance(value, list | tuple):
        return next(filter(None, (_plain_problem(name, inner) for inner in value)), "")
    elif isinstance(value, dict):
        return _plain_problem(name, [*value, *value.values()])
    elif not isinstance(value, int | float | None):
        return f"its {name} is {_shown(value)}, not a text or number"
    return ""


def _is_unicode(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)


def _shown(value: Any) -> str:
    """The start of a value, on one line."""
    text = ascii(value) if isinstance(value, str) and not _is_unicode(value) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _printable(key: Any) -> str:
    return str(key).encode("utf-8", "backslashreplace").decode("utf-8")


def files_below(folder: Path, pattern: str = "**/*") -> list[Path]:
    """The paths below a folder that match a pattern, sorted.

    Raises: MMBenchError naming a folder that cannot be read, which `glob` passes over in silence.
    """

    def fail(error: OSError) -> None:
        raise MMBenchError(f"cannot read the folder {error.filename}: {error.strerror}") from None

    deepest = None if "**" in pattern else len(Path(pattern).parts) - 1
    for parent, folders, _ in os.walk(folder, onerror=fail, followlinks=False):
        if deepest is not None and len(Path(parent).relative_to(folder).parts) >= deepest:
            folders.clear()
    return sorted(folder.glob(pattern))


def leaves(folder: Path, path: Path) -> bool:
    """Whether a path goes out of a folder by `..` or as an absolute one.

    Links are followed wherever they lead: who made them had the right to.
    """
    whole = os.path.normpath(folder.absolute())
    return os.path.commonpath([whole, os.path.normpath(path.absolute())]) != whole


def unusable(
    keys: Iterable[Any], modality: str, files: Mapping[Any, Stored], folder: Path | None
) -> dict[Any, str]:
    """By key, why the file of a medium is not one that may be read, or is not there.

    Args:
        keys: of the media in question.
        modality: theirs.
        files: all media.
        folder: that they must be in, if in one.
    """
    problems = {}
    for key in keys:
        file = files[key]
        path = getattr(file, "path", None)
        if folder is not None and path is not None and leaves(folder, path):
            problems[key] = f"{modality} {file} is outside of the data folder"
            continue
        try:
            file.stamp()
        except (OSError, ValueError) as error:  # a name that no file can have
            why = getattr(error, "strerror", None) or error
            problems[key] = f"{modality} {file} cannot be read: {why}"
    return problems


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
