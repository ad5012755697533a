"""A learnt weight for each decision: the logarithmic opinion pool.

Source: Genest and Zidek, Combining Probability Distributions: A Critique and an Annotated
Bibliography, Statistical Science 1986; weights that are learnt: Heskes, Selecting Weighting Factors
in Logarithmic Opinion Pools, NeurIPS 1997.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.base import masked_softmax
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.precision import in_float32


class LateLearnt(LateFusion):
    """p ~ prod_i softmax(z_i)^w_i, with w = softmax(v) learnt; the logits are sum_i w_i log p_i.

    The weights of the modalities that a sample has sum to one. They begin equal.

    Args:
        modalities: their names.
    Shape: M logits (B, C) -> (B, C).
    """

    family = "learnt weights"
    cost = Cost(parameters="M", operations="0")

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__(modalities)
        self.scores = nn.Parameter(torch.zeros(len(self.modalities)))  # v

    def forward(
        self, logits: Sequence[Tensor], present: Sequence[Tensor], target: Tensor | None = None
    ) -> Decoded:
        there = torch.stack(list(present), 1)  # (B, M)
        with in_float32(there.device):
            weights = masked_softmax(self.scores.float().expand(there.shape), there, 1)
            known = torch.stack(list(logits), 1).float().masked_fill(~there[..., None], 0)
            # An impossible class has a logit of minus infinity, of which no weight could learn.
            decided = known.log_softmax(-1).clamp(min=math.log(torch.finfo(known.dtype).tiny))
            return Decoded((weights[..., None] * decided).sum(1), shares=weights[:, None])
