"""Co-attention: two streams, of the query and of the contexts, that look at each other.

Source: Lu et al., ViLBERT, 2019 (arXiv 1908.02265), sec. 2.1, fig. 2b (co-attentional layers), in
the order of the sublayers of Tan and Bansal, LXMERT, 2019 (arXiv 1908.07490), sec. 2.2: across the
streams, within each, feed-forward. Norms stand before the sublayers here, after them there; its
code has one set of weights for both directions across, the papers have two, as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, AttentionSublayer, Joined, stack
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class CoAttentionFusion(Fusion):
    """x' = L(x, c), c' = L(c, x), with L(a, b) = MLP(Self(Cross(a, b))), all residual; h = norm(x).

    The contexts are one stream, their tokens side by side. What the last layer would make of them
    nobody reads, so that they have one layer less than the query.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of co-attention.
        heads: of each attention.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to; without any, the query sees itself alone.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = False  # the contexts look at the whole query
    added_with = {"layers": 2, "heads": 4}
    family = "co-attention"
    cost = Cost(
        parameters="(M-1)*D + 2*D + (2*layers-1)*(16*D**2 + 17*D)",
        operations="layers*(28*D**2*T + 4*D*T**2 + 4*D**2*(M-1)*N + 4*D*T*(M-1)*N)"
        " + (layers-1)*(28*D**2*(M-1)*N + 4*D*((M-1)*N)**2 + 4*D**2*T + 4*D*T*(M-1)*N)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 2, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.joined = Joined(dim, contexts)
        self.of_query = stack(layers, lambda: CoAttentionLayer(dim, heads), least=2)
        self.of_contexts = stack(layers - 1, lambda: CoAttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x = query.clean()
        y, mask = self.joined(contexts, x)
        *layers, last = self.of_query
        layer: Any
        for layer, other in zip(layers, self.of_contexts, strict=True):
            x, y = layer(x, y, query.mask, mask), other(y, x, mask, query.mask)
        return Fused(Stream(self.norm(last(x, y, query.mask, mask)), query.mask))


class CoAttentionLayer(nn.Module):
    """One stream's half of a layer: attention to the other stream, to itself, feed-forward.

    Args:
        dim: width D.
        heads: of each attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.across = AttentionSublayer(dim, heads)
        self.within = AttentionLayer(dim, heads)

    def forward(self, x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor) -> Tensor:
        """x (B, T, D), having looked at y (B, N, D); the masks (B, T) and (B, N) bool."""
        x = self.across(x, *self.across.keys_values(y), y_mask[:, None])
        return self.within(x, *self.within.keys_values(x), x_mask[:, None])
