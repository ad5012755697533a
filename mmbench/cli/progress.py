"""Progress on the terminal: bars where there is one, a line an epoch where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mmbench.cli.output import complain
from mmbench.experiments.watch import Watch
from mmbench.reports.escape import one_line

_EVERY = 0.2  # seconds between looks at the loss: on a GPU each look waits for the device


class QuietWatch(Watch):
    """Shows on standard error only what a user must know."""

    def says(self, line: str) -> None:
        complain(f"mmbench: {line}")


class TerminalWatch(QuietWatch):
    """Shows a run's progress on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._title = ""
        self._reading = ""
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0
        self._steps = 0
        self._epoch = 0
        self._step = 0
        self._samples = 0
        self._looked = 0.0

    def read(self, what: str, done: int, of: int) -> None:
        if what != self._reading:
            self._open(what, of, 0)
            self._reading = what
        if self._bar is not None:
            self._bar.update(self._task, completed=done, says=f"{done:,} of {of:,}")
        if done == of:
            self._reading = ""
            self.done()

    def began(self, model: str, seed: int) -> None:
        self._title = f"{one_line(model)} seed {seed}"

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        self._epochs, self._steps, self._epoch = epochs, steps, epoch
        if epoch:
            self._say(f"{self._title} goes on after epoch {epoch}")
        self._open(f"{self._title} training", epochs * steps, epoch * steps)

    def stepped(self, loss: Callable[[], float], samples: int) -> None:
        self._step += 1
        self._samples += samples
        now = time.perf_counter()
        if self._bar is None or now - self._looked < _EVERY:
            return
        speed = self._samples / (now - self._looked)
        done = self._epoch * self._steps + self._step
        says = f"epoch {self._epoch + 1}/{self._epochs}  loss {loss():.4f}  {speed:,.0f} samples/s"
        self._bar.update(self._task, completed=done, says=says)
        self._samples, self._looked = 0, now

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        self._epoch, self._step = entry["epoch"], 0
        if self._bar is None:
            self._say(
                f"{self._title} epoch {entry['epoch']}/{self._epochs}  "
                f"loss {entry['loss']:.4f}  validation {entry['validation']:.4f}  "
                f"{entry['samples_per_second']:,.0f} samples/s"
            )

    def started_answering(self, samples: int) -> None:
        self._open(f"{self._title} answering", samples, 0)

    def answered(self, samples: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, samples)

    def done(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, line: str) -> None:
        """A line as it is: brackets in a name are no markup."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _open(self, title: str, total: int, completed: int) -> None:
        self.done()
        self._looked = time.perf_counter()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[says]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(
                one_line(title), total=total, completed=completed, says=""
            )
            self._bar.start()
