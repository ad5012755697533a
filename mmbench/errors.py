"""The errors that are the user's to mend: one clear line each, exit code 2."""

from __future__ import annotations

import difflib
import reprlib
import traceback
from collections.abc import Iterable
from pathlib import Path

from mmbench.option_words import as_called


class MMBenchError(Exception):
    """A mistake in what was asked: says what, why, and what to do. Printed without a traceback.

    A message names settings as options (`--limit`); whoever called from Python reads `limit=`.
    """

    def __str__(self) -> str:
        return as_called(super().__str__())


class ToolError(MMBenchError):
    """A metric cannot be computed, and others are kept: a program or model that it needs is absent,
    died or hung, or there is nothing that it could measure.
    """


class NotMeasurable(MMBenchError):
    """The data do not hold what a metric needs, such as all ranks: it is left out with a note."""


class Interrupted(BaseException):
    """The user stopped a run with Ctrl-C; says what is kept and how to go on.

    No `Exception`, so that `except Exception` does not swallow it; no `KeyboardInterrupt`, which
    the parser of the command line catches and loses the message of.
    """


_brief = reprlib.Repr()
_brief.maxlevel = 3
_brief.maxstring = _brief.maxother = 60


def brief(value: object) -> str:
    """A value for a message: at most 80 characters, however large or deep it is.

    >>> brief({"id": [1, [2, [3, [4]]]]})
    "{'id': [1, [2, [...]]]}"
    """
    text = _brief.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def in_one_line(error: BaseException) -> str:
    r"""What another library's error says, on one line of at most 200 characters.

    >>> in_one_line(ValueError("no such\nthing")), in_one_line(EOFError())
    ('no such thing', 'EOFError')
    """
    text = " ".join(str(error).split())[:200]
    if text and not isinstance(error, LookupError):  # a key alone says nothing
        return text
    return f"{type(error).__name__} {text}".strip()


def raised(error: BaseException, file: str | None = None) -> str:
    """An error in a line: its type, what it says, and where in whose code it came from.

    Args:
        error: that was raised.
        file: whose last line in the traceback is named; the last outside of torch if it has none.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file]
    outside = [frame for frame in frames if "torch" not in Path(frame.filename).parts]
    frame = [*frames, *outside, *own][-1] if frames else None
    where = f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})" if frame else ""
    return f"{type(error).__name__}: {in_one_line(error)}{where}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the nearest known name, or '' when none is near.

    >>> did_you_mean("gated_fuson", ["gated_fusion", "concat_fusion"])
    ' Did you mean gated_fusion?'
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
