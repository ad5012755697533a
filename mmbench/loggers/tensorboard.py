"""TensorBoard: event files below OUT/tensorboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, Outcome, needed


class TensorBoard(Logger):
    """Event files by torch.utils.tensorboard: `tensorboard --logdir OUT/tensorboard`."""

    def __init__(self, out: Path) -> None:
        self._kind = needed("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder = out / "tensorboard"
        self._writer: Any = None

    def begin(self, name: str, settings: Mapping[str, Any], epoch: int) -> None:
        # What an earlier sitting of the same run told of later epochs is not shown.
        self._writer = self._kind(str(self._folder / name), purge_step=epoch + 1)
        self._writer.add_text("settings", f"```json\n{json.dumps(settings, indent=1)}\n```", epoch)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self, outcome: Outcome, scores: Mapping[str, float], step: int) -> None:
        self.log(scores, step)
        self._writer.add_text("outcome", outcome, step)
        self._writer.close()
