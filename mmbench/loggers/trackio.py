"""Trackio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, needed


class Trackio(Logger):
    """A run of the project `mmbench` by `trackio.init`: `trackio show` draws it."""

    def __init__(self, out: Path) -> None:
        self._trackio = needed("trackio", "trackio")
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Any]) -> None:
        self._run = self._trackio.init(project="mmbench", name=name, config=dict(settings))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        self._run.finish()
