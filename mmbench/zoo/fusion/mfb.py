"""Multi-modal factorised bilinear pooling (MFB), and several blocks of it (MFH).

Source: Yu et al., Multi-modal Factorized Bilinear Pooling with Co-attention Learning, ICCV 2017
(arXiv 1708.01471), sec. 3; with `blocks` above 1 Yu et al., Beyond Bilinear: Generalized
Multimodal Factorized High-order Pooling, 2018 (arXiv 1708.03619).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import power_normalised, product
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream


class MFBFusion(PooledFusion):
    """h = V norm(sum_k e_k) + c, with e = prod_i (W_i x_i + b_i).

    k counts the F factors of each feature, and norm(z) is sign(z) sqrt|z| at length 1. With several
    blocks, h = V [norm(sum_k e_k^1); norm(sum_k e_k^2); ...] + c, where e^p is e^(p-1) times a
    product of its own projections (MFH). The papers' products are of two modalities, here of M.

    Args:
        dim: width D of every stream, and of each z.
        contexts: the names of the context modalities.
        factors: F, whose products are summed to one feature.
        blocks: P, each of which multiplies what the one before it had.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's factor is one. The papers' dropout before the sum is left out.
    """

    added_with = {"factors": 5, "blocks": 1}
    family = "bilinear"
    cost = Cost(
        parameters="blocks*factors*M*(D**2 + D) + blocks*D**2 + D",
        operations="2*D**2*blocks * (factors*(T + M-1) + T)",
    )

    def __init__(
        self, dim: int, contexts: Sequence[str], factors: int = 5, blocks: int = 1
    ) -> None:
        super().__init__(dim, contexts)
        if min(factors, blocks) < 1:
            raise ValueError(f"factors and blocks must be at least 1, got {factors} and {blocks}")
        self._sizes, self._blocks = (factors, dim), blocks
        wide = blocks * factors * dim
        self.project = nn.ModuleList([nn.Linear(dim, wide) for _ in self.modalities])
        self.out = nn.Linear(blocks * dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        expanded, pooled = None, []
        with in_float32(present[0].device):
            projected = [w(x.float()) for w, x in zip(self.project, vectors, strict=True)]
            for block in zip(*(x.chunk(self._blocks, -1) for x in projected), strict=True):
                e = product(block, present)
                expanded = e if expanded is None else expanded * e
                pooled.append(power_normalised(expanded.unflatten(-1, self._sizes).sum(-2)))
        return Fused(Stream(self.out(torch.cat(pooled, -1)), present[0]))
