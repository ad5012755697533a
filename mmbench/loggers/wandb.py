"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, Outcome, needed

_EXIT_CODE = {"finished": 0, "failed": 1, "stopped": 130}


class WandB(Logger):
    """A run of the project `mmbench` (or WANDB_PROJECT) by `wandb.init`."""

    def __init__(self, out: Path) -> None:
        self._wandb = needed("wandb", "wandb")
        self.errors = (self._wandb.errors.Error,)
        self._folder = out / "wandb"
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Any], epoch: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        project = {} if "WANDB_PROJECT" in os.environ else {"project": "mmbench"}
        self._run = self._wandb.init(
            name=name,
            config=dict(settings),
            dir=str(self._folder),
            reinit="create_new",  # runs side by side each have one
            settings=self._wandb.Settings(console="off"),  # bars are no log
            **project,
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self, outcome: Outcome, scores: Mapping[str, float], step: int) -> None:
        self._run.summary.update(dict(scores))
        self._run.finish(exit_code=_EXIT_CODE[outcome])
