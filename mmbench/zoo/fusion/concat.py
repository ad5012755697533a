"""Concatenation: the modality vectors side by side, through a layer that mixes them.

Source: Ngiam et al., Multimodal Deep Learning, ICML 2011, sec. 3; the usual baseline of every
study of fusion, for example Liang et al., MultiBench, 2021 (arXiv 2107.07502).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion, linear_of_joined
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class ConcatFusion(PooledFusion):
    """h = relu(W [x_1; ...; x_n] + b).

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's part of the vector is zero.
    """

    family = "concatenation"
    cost = Cost(
        parameters="M*D**2 + D",
        operations="2*D**2 * (T + M-1)",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        self.mix = nn.Linear(len(self.modalities) * dim, dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        return Fused(Stream(linear_of_joined(self.mix, vectors).relu(), present[0]))
