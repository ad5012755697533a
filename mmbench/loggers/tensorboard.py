"""TensorBoard: event files below OUT/tensorboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, needed


class TensorBoard(Logger):
    """Event files by torch.utils.tensorboard: `tensorboard --logdir OUT/tensorboard`."""

    def __init__(self, out: Path) -> None:
        self._kind = needed("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder = out / "tensorboard"
        self._writer: Any = None

    def begin(self, name: str, settings: Mapping[str, Any]) -> None:
        self._writer = self._kind(str(self._folder / name))
        self._writer.add_text("settings", f"```json\n{json.dumps(settings, indent=1)}\n```")

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()
