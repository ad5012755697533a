"""The `Logger` contract: a run begins, its epochs are told, it ends."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError


class Logger(ABC):
    """What `--log NAME` names, registered under `mmbench.loggers`. It is told of one run at a time;
    runs side by side have one each, in the same process.

    Args:
        out: where records are kept; files of its own belong below `out / NAME`.
    Raises: MMBenchError if a package that it needs is not installed.
    """

    @abstractmethod
    def __init__(self, out: Path) -> None: ...

    @abstractmethod
    def begin(self, name: str, settings: Mapping[str, Any]) -> None:
        """A run begins: its place below `out` (`vqa/easy_vqa/gated_fusion/HASH/seed-0`), and what
        was asked for, as plain JSON.
        """

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int) -> None:
        """An epoch (from 1, over all stages) is done: numbers by name (`validation/accuracy`)."""

    @abstractmethod
    def end(self) -> None:
        """The run is over, or was stopped."""


def needed(package: str, extra: str) -> Any:
    """A package that a logger needs.

    Raises: MMBenchError that says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MMBenchError(
            f"--log {extra} cannot import {package} ({error}): "
            f"`pip install 'mmbench[{extra}]'` brings it"
        ) from None
