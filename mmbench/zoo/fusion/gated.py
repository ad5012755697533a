"""Gated fusion (GMU): a learnt gate decides, per feature, how much of each modality passes.

Source: Arevalo et al., Gated Multimodal Units for Information Fusion, 2017 (arXiv 1702.01992),
sec. 3.1; the softmax over modalities extends its bimodal gate (z, 1 - z) to any number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import PooledFusion, masked_softmax


class GatedFusion(PooledFusion):
    """h = sum_i g_i * tanh(W_i x_i), with g = softmax over modalities of V [x_1; ...; x_n].

    Args:
        dim: width D of every stream.
        contexts: how many context streams it is built for.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context takes no part: its gate is zero and the others still sum to one.
    """

    def __init__(self, dim: int, contexts: int) -> None:
        super().__init__(dim, contexts)
        modalities = 1 + contexts
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in range(modalities)])
        self.gate = nn.Linear(modalities * dim, modalities * dim)

    def fuse(self, vectors: Tensor, present: Tensor) -> Tensor:
        """See `PooledFusion.fuse`."""
        h = [layer(x).tanh() for layer, x in zip(self.project, vectors.unbind(2), strict=True)]
        scores = self.gate(vectors.flatten(-2)).unflatten(-1, (len(h), self.dim))  # (B, T, M, D)
        gates = masked_softmax(scores, present[..., None], dim=2)
        return (gates * torch.stack(h, 2)).sum(2)
