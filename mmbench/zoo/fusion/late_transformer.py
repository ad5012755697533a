"""Late Transformer (SimBaMM): one token of each modality, and a class token that reads them.

Source: Rheude et al., Fusion or Confusion? Multimodal Complexity Is Not All You Need, 2025 (arXiv
2512.22991), the Simple Baseline for Multimodal Learning; its code's default, a vector of each
encoder. Norms stand before the sublayers here, after them there; four layers, twice as wide inside,
with a ReLU and sines for places there; GELU and a learnt vector for each modality here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, Joined, stack
from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Stream


class LateTransformerFusion(PooledFusion):
    """z = [class; x_1 + e_1; ...; x_n + e_n]; z <- Transformer(z); h = norm(z_class).

    Each position of the query is fused by itself: it is a sequence of M + 1 tokens.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of attention.
        heads: of each.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The token of a missing modality is not attended to; the class token is always there.
    """

    added_with = {"layers": 3, "heads": 4}
    family = "single stream"
    cost = Cost(
        parameters="D + M*D + 2*D + layers*(12*D**2 + 12*D)",
        operations="(layers-1)*(24*D**2*(M+1)*T + 4*D*(M+1)**2*T)"
        " + 20*D**2*T + 4*D**2*(M+1)*T + 4*D*(M+1)*T",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.class_token = nn.Parameter(torch.randn(dim) * 0.02)
        self.joined = Joined(dim, self.modalities)
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        shape = vectors[0].shape  # (B, T, D)
        tokens = [
            Stream(x.expand(shape).reshape(-1, 1, self.dim), there.expand(shape[:2]).reshape(-1, 1))
            for x, there in zip(vectors, present, strict=True)
        ]
        marked, mask = self.joined(tokens, tokens[0].tokens)  # (B T, M, D)
        z = torch.cat([self.class_token.expand(len(marked), 1, -1), marked], 1)
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)[:, None]
        *layers, last = self.layers
        layer: Any
        for layer in layers:
            z = layer(z, *layer.keys_values(z), mask)
        layer = last  # whose result is read at the class token alone
        h = layer(z[:, :1], *layer.keys_values(z), mask)
        return Fused(Stream(self.norm(h).reshape(shape), present[0]))
