"""Gated cross-attention (Flamingo): the query takes in the contexts through gates shut at first.

Source: Alayrac et al., Flamingo, 2022 (arXiv 2204.14198), sec. 2.2, fig. 4. There the layers stand
between those of a frozen language model and read what a resampler made of the images
(`perceiver`); here they follow each other and read the contexts' tokens; GELU for squared ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, Joined, stack
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class GatedCrossAttentionFusion(Fusion):
    """x <- x + tanh(a) Attention(norm(x), c, c); x <- x + tanh(b) MLP(norm(x)), by layers; h = x.

    The gates a and b of each layer are 0 at first, so that training begins with h = x. The
    positions of the query do not look at each other, so that it may stand in a text decoder.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of attention.
        heads: of each.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = True
    added_with = {"layers": 3, "heads": 4}
    family = "cross-attention"
    cost = Cost(
        parameters="(M-1)*D + 2*D + layers*(12*D**2 + 12*D + 2)",
        operations="layers*(20*D**2*T + 4*D**2*(M-1)*N + 4*D*T*(M-1)*N)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.joined = Joined(dim, contexts)
        self.context_norm = nn.LayerNorm(dim)
        self.layers = stack(layers, lambda: GatedLayer(dim, heads))

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x = query.clean()
        tokens, mask = self.joined(contexts, x)
        tokens = self.context_norm(tokens)
        layer: Any
        for layer in self.layers:
            x = layer(x, *layer.keys_values(tokens, norm=False), mask[:, None])
        return Fused(Stream(x, query.mask))


class GatedLayer(AttentionLayer):
    """Attention, then a feed-forward layer, each through a gate that is shut at first.

    Args:
        dim: width D.
        heads: of the attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads)
        self.attention_gate = nn.Parameter(torch.zeros(()))
        self.feed_forward_gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        found = self.attention(self.norm(x), keys, values, mask)
        x = x + self.attention_gate.tanh() * found
        return x + self.feed_forward_gate.tanh() * self.feed_forward(x)
