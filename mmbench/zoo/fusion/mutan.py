"""MUTAN: a Tucker decomposition of the bilinear tensor, whose core is of low rank.

Source: Ben-Younes et al., MUTAN: Multimodal Tucker Fusion for Visual Question Answering, ICCV 2017
(arXiv 1705.06676), sec. 3: the Tucker fusion, and the sparsity of its core.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import sum_of_products
from mmbench.zoo.stream import Stream


class MutanFusion(PooledFusion):
    """h = W_o z + o, with z = sum_r prod_i (M_ir y_i + m_ir) and y_i = W_i x_i + b_i.

    The paper's tensor has a mode for each of two modalities and one for the output; here it has
    one for each of M. That there are biases and no tanh is of its authors' later code.

    Args:
        dim: width D of every stream, and of each mode of the core.
        contexts: the names of the context modalities.
        rank: R of the slices of the core.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's factor is one.
    """

    added_with = {"rank": 5}
    family = "bilinear"
    cost = Cost(
        parameters="M*(1 + rank)*(D**2 + D) + D**2 + D",
        operations="2*D**2 * ((1 + rank)*(T + M-1) + T)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], rank: int = 5) -> None:
        super().__init__(dim, contexts)
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        self._rank = rank
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in self.modalities])
        self.core = nn.ModuleList([nn.Linear(dim, rank * dim) for _ in self.modalities])
        self.out = nn.Linear(dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        y = [w(x) for w, x in zip(self.project, vectors, strict=True)]
        factors = [m(x) for m, x in zip(self.core, y, strict=True)]
        z = sum_of_products(factors, present, self._rank)
        return Fused(Stream(self.out(z), present[0]))
