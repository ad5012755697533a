"""Bilinear attention networks (BAN): attention over all pairs of a query's and a context's token.

Source: Kim et al., Bilinear Attention Networks, 2018 (arXiv 1805.07932), eq. 5-6 (attention maps
of low rank), eq. 3-4 (bilinear pooling by a map), eq. 8-9 (residual learning of attention). The
paper has dropout and weight normalisation and adds a counting module, which are left out, and
sums over the positions at the end, where here they stay apart for the task's decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import Joined
from mmbench.zoo.fusion.base import Fused, Fusion, masked_softmax
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream

_RANK = 3  # of the attention maps, in widths D, as in the paper (K = 3 D)


class BANFusion(Fusion):
    """x <- x + P_g sum_ij A_gij (U_g x_i * V_g c_j), A_g = softmax_ij(p_g . (U x_i * V c_j)).

    After each U and V comes a relu. The glimpses g follow each other, but all maps A_g are of the
    first x; h is the last x. The tokens of several contexts stand side by side, so that the pairs
    of all of them share a softmax.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        glimpses: how many attention maps, G.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The pairs of a missing context have no weight; without any, a glimpse adds a constant alone.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = False  # the softmax is over all of the query's positions
    added_with = {"glimpses": 8}
    family = "bilinear attention"
    cost = Cost(
        parameters="(M-1)*D + 6*(D**2 + D) + glimpses*(3*D**2 + 6*D)",
        operations="6*D**2*(T + (M-1)*N)"
        " + glimpses*(2*D**2*(T + (M-1)*N) + 8*D*T*(M-1)*N + 2*D**2)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], glimpses: int = 8) -> None:
        super().__init__(dim, contexts)
        if glimpses < 1:
            raise ValueError(f"glimpses must be at least 1, got {glimpses}")
        rank = _RANK * dim
        self.joined = Joined(dim, contexts)
        self.map_query = nn.Sequential(nn.Linear(dim, rank), nn.ReLU())
        self.map_contexts = nn.Sequential(nn.Linear(dim, rank), nn.ReLU())
        # A bias of a map would add the same to all of its pairs: softmax does not see it.
        self.maps = nn.Parameter(torch.randn(glimpses, rank) / rank**0.5)
        self.glimpses = nn.ModuleList([Glimpse(dim) for _ in range(glimpses)])

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x = query.clean()
        y, mask = self.joined(contexts, x)
        asked = self.map_query(x)[:, None] * self.maps[:, None]  # (B, G, T, 3 D)
        scores = asked.flatten(1, 2) @ self.map_contexts(y).transpose(1, 2)  # (B, G T, N)
        pairs = query.mask[:, :, None] & mask[:, None]  # (B, T, N)
        attention = masked_softmax(
            scores.unflatten(1, (len(self.maps), -1)).flatten(2), pairs.flatten(1)[:, None], dim=-1
        ).unflatten(2, pairs.shape[1:])  # (B, G, T, N)
        for glimpse, weights in zip(self.glimpses, attention.unbind(1), strict=True):
            x = glimpse(x, y, weights)
        return Fused(Stream(x, query.mask))


class Glimpse(nn.Module):
    """x + P sum_ij A_ij (relu(U x_i) * relu(V y_j)): the pairs that a map weighs, pooled.

    Args:
        dim: width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_query = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
        self.of_contexts = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """x (B, T, D) after the glimpse at y (B, N, D), by a map (B, T, N)."""
        pooled = (self.of_query(x) * (weights @ self.of_contexts(y))).sum(1, keepdim=True)
        return x + self.project(pooled)
