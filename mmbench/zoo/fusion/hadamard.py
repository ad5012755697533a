"""Hadamard product (MLB): bilinear pooling of low rank, as a product of projections.

Source: Kim et al., Hadamard Product for Low-rank Bilinear Pooling, ICLR 2017 (arXiv 1610.04325),
sec. 3: the full model, with biases, and tanh on both projections.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import product
from mmbench.zoo.stream import Stream


class HadamardFusion(PooledFusion):
    """h = P prod_i tanh(W_i x_i + b_i) + c, the product feature by feature.

    The paper's is of two modalities; a product of M factors is the low-rank form of a tensor of
    order M + 1.

    Args:
        dim: width D of every stream, and of the product.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's factor is one.
    """

    family = "bilinear"
    cost = Cost(
        parameters="(M+1)*(D**2 + D)",
        operations="2*D**2 * (2*T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in self.modalities])
        self.out = nn.Linear(dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        factors = [w(x).tanh() for w, x in zip(self.project, vectors, strict=True)]
        return Fused(Stream(self.out(product(factors, present)), present[0]))
