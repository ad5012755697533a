"""The `Logger` contract: a run begins, its epochs are told, it ends in some way."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmbench.errors import MMBenchError

Outcome = Literal["finished", "failed", "stopped"]  # a record, an error, or Ctrl-C


class Logger(ABC):
    """What `--log NAME` names, registered under `mmbench.loggers`. It is told of one run at a time;
    runs side by side have one each, in the same process. It prints nothing to standard output,
    which holds a run's record under `--json`.

    Args:
        out: where records are kept; files of its own belong below `out / NAME`.
    Attributes:
        errors: what its package raises where the user must act: log in, start a server.
    Raises: MMBenchError if a package that it needs is not installed.
    """

    errors: tuple[type[Exception], ...] = ()

    @abstractmethod
    def __init__(self, out: Path) -> None: ...

    @abstractmethod
    def begin(self, name: str, settings: Mapping[str, Any], epoch: int) -> None:
        """The training of a run begins, or goes on.

        Args:
            name: its place below `out` (`vqa/easy_vqa/gated_fusion/HASH/seed-0`).
            settings: what was asked for, and the whole recipe under `recipe`, as plain JSON.
            epoch: after which it goes on, if it was cut off; otherwise 0.
        """

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int) -> None:
        """An epoch (from 1, over all stages) is done: numbers by name (`validation/accuracy`)."""

    @abstractmethod
    def end(self, outcome: Outcome, scores: Mapping[str, float], step: int) -> None:
        """The run is over.

        Args:
            outcome: how it ended.
            scores: of a finished one, by name (`test/accuracy`), as its record has them.
            step: its last epoch.
        """


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str | int | float | bool]:
    """Settings by dotted key, without those that are unset; lists as JSON.

    >>> flat({"seed": 0, "limit": None, "recipe": {"train": {"lr": 0.1}, "stages": []}})
    {'seed': 0, 'recipe.train.lr': 0.1, 'recipe.stages': '[]'}
    """
    found: dict[str, str | int | float | bool] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        elif value is not None:
            found[above + key] = json.dumps(value) if isinstance(value, list) else value
    return found


def needed(package: str, extra: str) -> Any:
    """A package that a logger needs.

    Raises: MMBenchError that says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MMBenchError(
            f"the logger {extra} cannot import {package} ({error}): "
            f"`pip install 'mmbench[{extra}]'` brings it"
        ) from None
