"""Low-rank tensor fusion (LMF): tensor fusion whose weights are a sum of rank-one tensors.

Source: Liu et al., Efficient Low-rank Multimodal Fusion with Modality-Specific Factors, ACL 2018
(arXiv 1806.00064), sec. 3: the product is taken before the sum over ranks, so that no tensor is
written out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.products import sum_of_products
from mmbench.zoo.stream import Stream


class LowRankTensorFusion(PooledFusion):
    """h = sum_r prod_i (W_ir [x_i; 1]) + b, the product feature by feature.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        rank: R of the weights' tensor.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context is [0; 1], as in tensor fusion, which leaves the products of the others.
    """

    added_with = {"rank": 4}
    family = "tensor product"
    cost = Cost(
        parameters="M*rank*(D + 1)*D + D",
        operations="2*D**2*rank * (T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], rank: int = 4) -> None:
        super().__init__(dim, contexts)
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        self._rank = rank
        # The column of W_ir that meets the 1 is the layer's bias.
        self.factors = nn.ModuleList([nn.Linear(dim, rank * dim) for _ in self.modalities])
        self.bias = nn.Parameter(torch.zeros(dim))

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        factors = [w(x) for w, x in zip(self.factors, vectors, strict=True)]
        everyone = [torch.ones_like(there) for there in present]  # a missing one is [0; 1], not 1
        h = sum_of_products(factors, everyone, self._rank) + self.bias
        return Fused(Stream(h, present[0]))
