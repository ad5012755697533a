"""The bars of runs in a notebook: lines of text that change where they stand, and then are gone."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.progress import TaskID

from mmbench.cli.output import complain
from mmbench.reports.escape import one_line

_EVERY = 0.2  # seconds between changes of what is shown


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


@dataclass
class _Bar:
    title: str
    total: int
    completed: int
    says: str = ""

    def line(self) -> str:
        share = self.completed / self.total if self.total else 0.0
        return f"{self.title}  {share:.0%}  {self.says}".rstrip()


class NotebookBars:
    """As `mmbench.cli.progress.Bars`, shown by IPython."""

    def __init__(self) -> None:
        self._bars: dict[TaskID, _Bar] = {}
        self._made = 0
        self._display: Any = None
        self._shown = 0.0

    def add(self, title: str, total: int, completed: int) -> TaskID:
        """A new one."""
        self._made += 1
        bar = TaskID(self._made)
        self._bars[bar] = _Bar(one_line(title), total, completed)
        self._show()
        return bar

    def update(
        self,
        bar: TaskID,
        completed: int | None = None,
        advance: int = 0,
        says: str | None = None,
    ) -> None:
        """Show what has changed, now or soon."""
        found = self._bars[bar]
        found.completed = (found.completed if completed is None else completed) + advance
        found.says = found.says if says is None else says
        if time.perf_counter() - self._shown >= _EVERY:
            self._show()

    def remove(self, bar: TaskID) -> None:
        """It is no longer needed."""
        del self._bars[bar]
        self._show()

    def print(self, line: str) -> None:
        """A line that stays."""
        complain(line)

    def _show(self) -> None:
        from IPython.display import display

        text = {"text/plain": "\n".join(bar.line() for bar in self._bars.values())}
        if self._display is None:
            self._display = display(text, raw=True, display_id=True)
        else:
            self._display.update(text, raw=True)
        self._shown = time.perf_counter()
