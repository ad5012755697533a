"""Multiplicative interactions: the contexts make the weights of the query's layer.

Source: Jayakumar et al., Multiplicative Interactions and Where to Find Them, ICLR 2020, eq. 1,
and its reading as a hypernetwork: h = W' x + b', with W' = z^T W + V and b' = U z + b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class MultiplicativeFusion(PooledFusion):
    """h = z^T W x + U z + V x + b, with the query x and the contexts z = [x_1; ...; x_n].

    W is a full tensor, D (M-1) x D x D: 2.1 million numbers for one context at width 128. Contexts
    interact with the query, and among themselves not.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context's part of z is zero; without any, h = V x + b.
    """

    family = "bilinear"
    cost = Cost(
        parameters="(M-1)*(D**3 + D**2) + D**2 + D",
        operations="2*(M-1)*(D**3 + D**2) + 2*D**2*T",
    )

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        wide = len(contexts) * dim
        self.weights = nn.Linear(wide, dim * dim)  # W, and V as its bias
        self.biases = nn.Linear(wide, dim)  # U, and b as its bias
        nn.init.normal_(self.weights.weight, std=1 / math.sqrt(wide * dim))
        nn.init.uniform_(self.weights.bias, -1 / math.sqrt(dim), 1 / math.sqrt(dim))

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        query, z = vectors[0], torch.cat(list(vectors[1:]), -1)
        weights = self.weights(z).unflatten(-1, (self.dim, self.dim))[:, 0]  # (B, out, in)
        return Fused(Stream(query @ weights.mT + self.biases(z), present[0]))
