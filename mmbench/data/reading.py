"""Who is told how far reading and decoding are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Told = Callable[[str, int, int], None]
_told: ContextVar[Told] = ContextVar("told", default=lambda *_: None)


@contextmanager
def reporting_to(told: Told) -> Iterator[None]:
    """Inside, `told` is called with what is being done, how much of it is done, and of how much."""
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)


def report_progress(what: str, done: int, of: int) -> None:
    """Tell whoever asked to be told."""
    _told.get()(what, done, of)
