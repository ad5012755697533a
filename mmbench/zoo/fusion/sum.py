"""Sum: the modalities' projections, added up.

Source: the linear sum of Ben-Younes et al., BLOCK, AAAI 2019 (arXiv 1902.00038), the simplest of
the fusions that it compares with.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class SumFusion(PooledFusion):
    """h = relu(V sum_i relu(W_i x_i + b_i) + c).

    Without the inner relu it would be concatenation, whose one layer is a sum over modalities too.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context adds nothing.
    """

    family = "sum"
    cost = Cost(
        parameters="(M+1)*(D**2 + D)",
        operations="2*D**2 * (2*T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in self.modalities])
        self.out = nn.Linear(dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        query, *contexts = (w(x).relu() for w, x in zip(self.project, vectors, strict=True))
        known = [x * there[..., None] for x, there in zip(contexts, present[1:], strict=True)]
        return Fused(Stream(self.out(query + sum(known)).relu(), present[0]))
