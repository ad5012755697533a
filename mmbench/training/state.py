"""The state of a training run on disk: safetensors and JSON, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mmbench.errors import MMBenchError
from mmbench.training import STATE_FILE

_UNFINISHED = ".state-"  # what the name of a file begins with that is being written


@dataclass
class Progress:
    """How far a training run is.

    Attributes:
        epoch: epochs that are done.
        best_epoch, best_score: where the score on validation was highest, or the last epoch where
            that is kept; 0 before the first.
        seconds: of training so far, over all sittings.
        log: one entry per epoch done.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    progress: Progress,
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state after an epoch, replacing the one before in one step.

    The folder is this process's alone: what a killed one left in it is removed.

    Args:
        model: with all that is trained and kept: the objectives' own parameters and buffers too.
        best: the weights that are kept so far: the best on validation, or the last.
        average: of the weights, where one is made.
    Raises: MMBenchError if the disk does not take it; the state before is kept.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(tensors, {"progress": json.dumps(progress.__dict__)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(name, folder / STATE_FILE)
        finally:
            for left in folder.glob(f"{_UNFINISHED}*"):
                left.unlink()
    except OSError as error:
        raise MMBenchError(
            f"cannot write the training state to {folder}: {error.strerror or error}. "
            "Make room there or choose another --out."
        ) from None


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Tensor], Progress] | None:
    """Put a saved state into model and optimizer; None if there is none.

    Returns: the weights that are kept so far, the average of the weights (empty where none is
        made), and how far the run is.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})["progress"]))
            names = file.keys()
            tensors = {name: file.get_tensor(name).clone() for name in names}  # not of the file
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise MMBenchError(
            f"the training state {path} cannot be read ({error}). Delete it to begin anew."
        ) from None
    model.load_state_dict(_under("model.", tensors))
    saved = optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    return _under("best.", tensors), _under("average.", tensors), progress


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
