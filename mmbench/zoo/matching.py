"""The head that judges whether a text and a medium belong together."""

from __future__ import annotations

from torch import nn


def matching_head(dim: int) -> nn.Module:
    """What makes logits (P, 2) of fused vectors (P, D): a pair is wrong, or right."""
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 2))
