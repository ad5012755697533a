"""Where numbers stay in float32, though the rest runs in bfloat16."""

from __future__ import annotations

import torch


def in_float32(device: torch.device) -> torch.autocast:
    """A context in which autocast is off: for logits, losses, codebooks and recurrent layers.

    What comes in may be in bfloat16 all the same: convert it by `.float()`.
    """
    return torch.autocast(device.type, enabled=False)
