"""Progress on the terminal: bars where there is one, a line an epoch where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmbench.cli.notebook_bars import NotebookBars, in_notebook
from mmbench.cli.output import complain
from mmbench.experiments.watch import SILENT, Watch
from mmbench.option_words import as_called
from mmbench.reports.escape import one_line

_EVERY = 0.2  # seconds between looks at the loss: on a GPU each look waits for the device


class QuietWatch(Watch):
    """Shows on standard error only what a user must know."""

    def says(self, line: str) -> None:
        complain(f"mmbench: {as_called(line)}")


class Bars:
    """The bars of all runs that go on, one below the other; none where there is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._shown: Progress | None = None

    def add(self, title: str, total: int, completed: int) -> TaskID | None:
        """A new one, if there is a terminal."""
        if not self._console.is_terminal:
            return None
        if self._shown is None:
            self._shown = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[says]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._shown.start()
        return self._shown.add_task(one_line(title), total=total, completed=completed, says="")

    def update(self, bar: TaskID, **changes: Any) -> None:
        """Show what has changed."""
        if self._shown is not None:
            self._shown.update(bar, **changes)

    def remove(self, bar: TaskID) -> None:
        """It is no longer needed."""
        if self._shown is None:
            return
        self._shown.remove_task(bar)
        if not self._shown.tasks:
            self._shown.stop()
            self._shown = None

    def print(self, line: str) -> None:
        """A line as it is, above the bars: brackets in a name are no markup."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


class TerminalWatch(QuietWatch):
    """Shows a run's progress on standard error.

    Args:
        bars: that its own stands among.
    """

    def __init__(self, bars: Bars | NotebookBars | None = None) -> None:
        self._bars = bars or Bars()
        self._title = ""
        self._reading = ""
        self._bar: TaskID | None = None
        self._epochs = 0
        self._steps = 0
        self._epoch = 0
        self._step = 0
        self._samples = 0
        self._validated = ""
        self._looked = 0.0

    def beside(self) -> TerminalWatch:
        return TerminalWatch(self._bars)

    def read(self, what: str, done: int, of: int) -> None:
        if what != self._reading:
            self._open(what, of, 0)
            self._reading = what
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, says=f"{done:,} of {of:,}")
        if done == of:
            self._reading = ""
            self.done()

    def began(self, model: str, seed: int) -> None:
        self._title = f"{one_line(model)} seed {seed}"

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        self._epochs, self._steps, self._epoch = epochs, steps, epoch
        self._validated = ""
        if epoch:
            self._bars.print(f"{self._title} goes on after epoch {epoch}")
        self._open(f"{self._title} training", epochs * steps, epoch * steps)

    def stepped(self, loss: Callable[[], float], samples: int, steps: int = 1) -> None:
        self._step += steps
        self._samples += samples
        now = time.perf_counter()
        if self._bar is None or now - self._looked < _EVERY:
            return
        speed = self._samples / (now - self._looked)
        done = self._epoch * self._steps + self._step
        says = f"epoch {self._epoch + 1}/{self._epochs}  loss {loss():.4f}  {speed:,.0f} samples/s"
        says += self._validated
        self._bars.update(self._bar, completed=done, says=says)
        self._samples, self._looked = 0, now

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        self._epoch, self._step = entry["epoch"], 0
        self._validated = f"  validation {validation_words(entry)}{conflict_words(entry)}"
        if self._bar is None:
            self._bars.print(
                f"{self._title} epoch {entry['epoch']}/{self._epochs}  "
                f"loss {entry['loss']:.4f}  validation {validation_words(entry)}"
                f"{conflict_words(entry)}  {entry['samples_per_second']:,.0f} samples/s"
            )

    def started_answering(self, samples: int) -> None:
        self._open(f"{self._title} answering", samples, 0)

    def answered(self, samples: int) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, advance=samples)

    def done(self) -> None:
        if self._bar is not None:
            self._bars.remove(self._bar)
            self._bar = None

    def _open(self, title: str, total: int, completed: int) -> None:
        self.done()
        self._looked = time.perf_counter()
        self._bar = self._bars.add(title, total, completed)


def watch_here() -> Watch:
    """Who shows progress where one calls from Python: in a terminal or a notebook; else nobody."""
    if in_notebook():
        return TerminalWatch(NotebookBars())
    return TerminalWatch() if sys.stderr.isatty() else SILENT


def conflict_words(entry: Mapping[str, Any]) -> str:
    """Of tasks that are trained together, the cosines of their gradients; "" of one task.

    >>> conflict_words({"conflict": {"captioning/vqa": 0.25}})
    '  cosine captioning/vqa +0.25'
    """
    found = (entry.get("conflict") or {}).items()
    shown = ", ".join(f"{one_line(pair)} {value:+.2f}" for pair, value in found)
    return f"  cosine {shown}" if shown else ""


def validation_words(entry: Mapping[str, Any]) -> str:
    """What an entry of `log.jsonl` says of validation: what chooses the epoch, and its value.

    >>> validation_words({"validation": -0.25, "chosen_by": "loss", "lower_is_better": True})
    'loss 0.2500'
    """
    value = -entry["validation"] if entry.get("lower_is_better") else entry["validation"]
    return f"{one_line(entry.get('chosen_by', ''))} {value:.4f}".strip()
