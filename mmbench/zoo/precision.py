"""Where numbers stay in float32, though the rest runs in bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def in_float32(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which autocast is off: for logits, losses, codebooks and recurrent layers.

    What comes in may be in bfloat16 all the same: convert it by `.float()`.
    """
    if not torch.amp.is_autocast_available(device.type):  # the meta device, without numbers
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
