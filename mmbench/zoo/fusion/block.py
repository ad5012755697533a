"""BLOCK: a bilinear tensor whose core is block-diagonal: chunks of features, each pooled by itself.

Source: Ben-Younes et al., BLOCK: Bilinear Superdiagonal Fusion for Visual Question Answering and
Visual Relationship Detection, AAAI 2019 (arXiv 1902.00038), its superdiagonal core with blocks of
low rank; the norm of each chunk is that of its authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import power_normalised, sum_of_products
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream


class BlockFusion(PooledFusion):
    """h = W_o [z_1; ...; z_C] + o, with z_c = norm(sum_r prod_i (M_icr y_ic + m_icr)).

    y_i = W_i x_i + b_i, of which y_ic is the c-th chunk, and norm(z) is sign(z) sqrt|z| at length
    1. The paper's core has a mode for each of two modalities and one for the output; here it has
    one for each of M.

    Args:
        dim: width D of every stream, and of all chunks together.
        contexts: the names of the context modalities.
        chunks: C, the blocks of the core, which must divide D; with one this is MUTAN, normed.
        rank: R of the slices of each block.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's factor is one.
    """

    added_with = {"chunks": 4, "rank": 15}
    family = "bilinear"
    cost = Cost(
        parameters="M*(D**2 + D) + M*rank*D*(D//chunks + 1) + D**2 + D",
        operations="2*D**2*(2*T + M-1) + 2*D*(D//chunks)*rank * (T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], chunks: int = 4, rank: int = 15) -> None:
        super().__init__(dim, contexts)
        if chunks < 1 or dim % chunks:
            raise ValueError(f"chunks must divide the width {dim}, got {chunks}")
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        self._rank = rank
        size = dim // chunks
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in self.modalities])
        self.cores = nn.ModuleList(
            nn.ModuleList(nn.Linear(size, rank * size) for _ in self.modalities)
            for _ in range(chunks)
        )
        self.out = nn.Linear(dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        with in_float32(present[0].device):
            y = [w(x.float()) for w, x in zip(self.project, vectors, strict=True)]
            chunks = zip(*(x.chunk(len(self.cores), -1) for x in y), strict=True)
            pooled = [self._pool(*pair, present) for pair in zip(self.cores, chunks, strict=True)]
            z = power_normalised(torch.stack(pooled, -2))  # (B, T, C, D / C)
        return Fused(Stream(self.out(z.flatten(-2)), present[0]))

    def _pool(self, core: nn.Module, chunk: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """z_c before its norm, (B, T, D / C), of the modalities' chunks (B, T or 1, D / C)."""
        layers = cast(nn.ModuleList, core)
        factors = [m(x.contiguous()) for m, x in zip(layers, chunk, strict=True)]
        return sum_of_products(factors, present, self._rank)
