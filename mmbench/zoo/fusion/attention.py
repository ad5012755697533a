"""Attention over modalities: a learnt score decides how much each modality weighs.

Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate,
2015 (arXiv 1409.0473), eq. 5-6, applied to modalities in place of words, as in Hori et al.,
Attention-Based Multimodal Fusion for Video Description, 2017 (arXiv 1701.03126), eq. 13-15.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion, masked_softmax, weighted_sum
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class AttentionFusion(PooledFusion):
    """h = sum_i alpha_i h_i, with alpha = softmax(e), e_i = MLP(h_i), h_i = W_i x_i.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context has weight zero, and the other weights still sum to one.
    """

    family = "attention over modalities"
    cost = Cost(
        parameters="(M+1)*(D**2 + D) + D",
        operations="(4*D**2 + 2*D) * (T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in self.modalities])
        # A bias of the last layer would add the same to every score: softmax does not see it.
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        h = [layer(x) for layer, x in zip(self.project, vectors, strict=True)]
        scores = torch.broadcast_tensors(*(self.score(x)[..., 0] for x in h))
        there = torch.broadcast_tensors(*present)
        alpha = masked_softmax(torch.stack(scores, -1), torch.stack(there, -1), dim=-1)  # (B, T, M)
        mixed = weighted_sum(alpha[..., None].unbind(2), h)
        return Fused(Stream(mixed, present[0]), shares=alpha)
