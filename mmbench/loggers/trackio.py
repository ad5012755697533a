"""Trackio."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, Outcome, flat, needed


class Trackio(Logger):
    """A run of the project `mmbench` by `trackio.init`: `trackio show` draws it.

    A training that goes on does so in its run. Trackio has no state of a run: an alert says of one
    that it failed or was stopped.
    """

    def __init__(self, out: Path) -> None:
        self._trackio = needed("trackio", "trackio")
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Any], epoch: int) -> None:
        self._run = _alone(
            lambda: self._trackio.init(
                project="mmbench",
                name=name,
                config=flat(settings),
                resume="allow" if epoch else "never",
            )
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self, outcome: Outcome, scores: Mapping[str, float], step: int) -> None:
        if scores:
            self.log(scores, step)
        if outcome != "finished":
            _alone(lambda: self._run.alert(f"training {outcome}", step=step))
        _alone(self._run.finish)


def _alone(call: Callable[[], Any]) -> Any:
    """What it gives in a context of its own, where no other run is open that `init` would finish.

    What it prints goes to standard error.
    """
    with redirect_stdout(sys.stderr):
        return contextvars.Context().run(call)
