"""Cross-attention: each position of the query attends over the tokens of all contexts.

Source: Vaswani et al., Attention Is All You Need, 2017 (arXiv 1706.03762), sec. 3.2.3: the
attention of a decoder over an encoder's tokens, here over those of every context at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mmbench.zoo.attention import AttentionLayer, Joined, stack
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class CrossAttentionFusion(Fusion):
    """x <- x + Attention(norm(x), c, c); x <- x + MLP(norm(x)), layer by layer; h = norm(x).

    The positions of the query do not look at each other, so that it may stand in a text decoder.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of attention.
        heads: of each.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to; without any, attention adds nothing.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = True
    added_with = {"layers": 3, "heads": 4}
    family = "cross-attention"
    cost = Cost(
        parameters="(M-1)*D + 4*D + layers*(12*D**2 + 12*D)",
        operations="layers*(20*D**2*T + 4*D**2*(M-1)*N + 4*D*T*(M-1)*N)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.joined = Joined(dim, contexts)
        self.context_norm = nn.LayerNorm(dim)
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x = query.clean()
        tokens, mask = self.joined(contexts, x)
        tokens = self.context_norm(tokens)
        layer: Any
        for layer in self.layers:
            x = layer(x, *layer.keys_values(tokens, norm=False), mask[:, None])
        return Fused(Stream(self.norm(x), query.mask))
