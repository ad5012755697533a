"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, needed


class WandB(Logger):
    """A run of the project `mmbench` (or WANDB_PROJECT) by `wandb.init`."""

    def __init__(self, out: Path) -> None:
        self._wandb = needed("wandb", "wandb")
        self._folder = out / "wandb"
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        project = {} if "WANDB_PROJECT" in os.environ else {"project": "mmbench"}
        self._run = self._wandb.init(
            name=name,
            config=dict(settings),
            dir=str(self._folder),
            reinit="create_new",  # runs side by side each have one
            **project,
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        self._run.finish()
