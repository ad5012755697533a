"""Gated fusion (GMU): a learnt gate decides, per feature, how much of each modality passes.

Source: Arevalo et al., Gated Multimodal Units for Information Fusion, 2017 (arXiv 1702.01992),
sec. 3.1; the softmax over modalities extends its bimodal gate (z, 1 - z) to any number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import (
    Fused,
    PooledFusion,
    linear_of_joined,
    masked_softmax,
    weighted_sum,
)
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class GatedFusion(PooledFusion):
    """h = sum_i g_i * tanh(W_i x_i), with g = softmax over modalities of V [x_1; ...; x_n].

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context takes no part: its gate is zero and the others still sum to one.
    """

    family = "gating"
    cost = Cost(
        parameters="M*(D**2 + D) + M**2*D**2 + M*D",
        operations="2*(1 + M)*D**2 * (T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        count = len(self.modalities)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in range(count)])
        self.gate = nn.Linear(count * dim, count * dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        h = [layer(x).tanh() for layer, x in zip(self.project, vectors, strict=True)]
        scores = linear_of_joined(self.gate, vectors).unflatten(-1, (len(h), self.dim))
        there = torch.stack(torch.broadcast_tensors(*present), 2)  # (B, T, M)
        gates = masked_softmax(scores, there[..., None], dim=2)  # (B, T, M, D)
        mixed = weighted_sum(gates.unbind(2), h)
        return Fused(Stream(mixed, present[0]), shares=gates.mean(-1))
