"""What leaves for the terminal: every line that a command prints goes through here."""

from __future__ import annotations

import sys
from typing import TextIO

from mmbench.processes import speaks
from mmbench.reports.escape import for_terminal, one_line


def say(text: str, end: str = "\n", to: TextIO | None = None) -> None:
    """Print text of several lines, on standard output unless told otherwise."""
    _print(text, to or sys.stdout, end)


def say_line(line: str) -> None:
    """Print what must be one line on standard output, at once."""
    _print(one_line(line), sys.stdout)


def complain(line: str, also_unasked: bool = False) -> None:
    """Print one line on standard error.

    Args:
        also_unasked: whether also where another process speaks for this one.
    """
    _print(one_line(line), sys.stderr, also_unasked=also_unasked)


def _print(text: str, stream: TextIO, end: str = "\n", also_unasked: bool = False) -> None:
    if not (speaks() or also_unasked):  # the first of several processes of one run does
        return
    print(for_terminal(text, stream.encoding or "utf-8"), file=stream, end=end, flush=True)
