"""Who is told how a run goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbench.loggers.base import Outcome
    from mmbench.records.record import Record


class Watch:
    """Told how a run goes; this one says nothing. `mmbench.cli.progress` shows bars."""

    def beside(self) -> Watch:
        """Whoever is told of one of several runs that go on at once, all from one thread."""
        return self

    def says(self, line: str) -> None:
        """Something that whoever started the run should know, such as what it waits for."""

    def read(self, what: str, done: int, of: int) -> None:
        """So much of the data is read or decoded."""

    def began(self, model: str, seed: int) -> None:
        """A run begins."""

    def will_record(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Where the record of the run that began will lie; what was asked for, as plain JSON, and
        the whole recipe under `recipe`.
        """

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        """Training starts, or goes on, at an epoch; so many steps an epoch."""

    def stepped(self, loss: Callable[[], float], samples: int, steps: int = 1) -> None:
        """So many training steps are done, of so many samples. Call `loss()` seldom: it waits for
        the device.
        """

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        """An epoch is done; the entry is a line of `log.jsonl`."""

    def started_answering(self, samples: int) -> None:
        """Inference starts."""

    def answered(self, samples: int) -> None:
        """So many more samples are answered."""

    def done(self) -> None:
        """All answers are scored, or will not be."""

    def ended(self, outcome: Outcome, records: Sequence[Record] = ()) -> None:
        """The run that began is over: with these records if it is finished."""


SILENT = Watch()


def shown(watch: Watch | None) -> Watch:
    """The watch, or, if none is given, one that shows progress in a terminal or a notebook."""
    if watch is not None:
        return watch
    from mmbench.cli.progress import watch_here

    return watch_here()
