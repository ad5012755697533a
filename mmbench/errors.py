"""The errors that are the user's to mend: one clear line each, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MMBenchError(Exception):
    """A mistake in what was asked: says what, why, and what to do. Printed without a traceback."""


class ToolError(MMBenchError):
    """A metric cannot be computed, and others are kept: a program or model that it needs is absent,
    died or hung, or there is nothing that it could measure.
    """


class Interrupted(BaseException):
    """The user stopped a run with Ctrl-C; says what is kept and how to go on.

    No `Exception`, so that `except Exception` does not swallow it; no `KeyboardInterrupt`, which
    the parser of the command line catches and loses the message of.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the nearest known name, or '' when none is near.

    >>> did_you_mean("gated_fuson", ["gated_fusion", "concat_fusion"])
    ' Did you mean gated_fusion?'
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
