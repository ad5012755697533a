"""The mean of decisions: each modality decides by itself, and the probabilities are averaged.

Source: the sum rule of Kittler et al., On Combining Classifiers, IEEE PAMI 1998, eq. 11 with equal
priors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.late import LateFusion


class LateMean(LateFusion):
    """p = mean over the modalities that are there of softmax(z_i); the logits are log p.

    Args:
        modalities: their names.
    Shape: M logits (B, C) -> (B, C).
    """

    family = "averaging"
    cost = Cost(parameters="0", operations="0")

    def forward(
        self, logits: Sequence[Tensor], present: Sequence[Tensor], target: Tensor | None = None
    ) -> Decoded:
        there = torch.stack(list(present), 1)  # (B, M)
        shares = there / there.sum(1, keepdim=True).clamp(min=1)
        known = torch.stack(list(logits), 1).float().masked_fill(~there[..., None], 0)  # (B, M, C)
        mean = (known.softmax(-1) * shares[..., None]).sum(1)
        return Decoded(mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), shares=shares[:, None])
