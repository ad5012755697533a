"""Training mode for what is trained alone."""

from __future__ import annotations

from torch import nn


def train_mode(module: nn.Module) -> None:
    """Training mode for what is trained; evaluation mode for what is frozen.

    So the statistics of a frozen norm do not move, and frozen layers drop nothing.
    """
    module.train()
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            part.eval()
