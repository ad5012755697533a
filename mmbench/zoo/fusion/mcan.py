"""MCAN: the question attends to itself, then guides the attention within the image.

Source: Yu et al., Deep Modular Co-Attention Networks for Visual Question Answering, 2019 (arXiv
1906.10770), sec. 3.1 (units of self- and guided attention), sec. 3.2 (encoder-decoder), eq. 4-6.
Norms stand before the sublayers here, after them there; six layers and width 512 there. The paper
flattens the question too, where here its positions stay apart for the task's decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, AttentionSublayer, Joined, stack
from mmbench.zoo.fusion.base import Fused, Fusion, masked_softmax
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class MCANFusion(Fusion):
    """h = norm(W_x x + W_y sum_j a_j y_j), a = softmax(MLP(y)), x = SA(x), y = SGA(c, x).

    SA (self-attention) and SGA (self- and guided attention) stand for stacks of such layers. The
    contexts are one stream, their tokens side by side.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of the query's self-attention, and as many of the contexts' guided attention.
        heads: of each attention.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to and have no weight in the sum, which
    without any is zero.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = False  # the contexts look at the whole query
    added_with = {"layers": 2, "heads": 4}
    family = "co-attention"
    cost = Cost(
        parameters="(M-1)*D + layers*(28*D**2 + 29*D) + 3*D**2 + 9*D",
        operations="layers*(28*D**2*T + 4*D*T**2)"
        " + layers*(28*D**2*(M-1)*N + 4*D*((M-1)*N)**2 + 4*D*T*(M-1)*N)"
        " + (2*D**2 + 4*D)*(M-1)*N + 2*D**2*T + 2*D**2",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 2, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.joined = Joined(dim, contexts)
        self.encoder = stack(layers, lambda: AttentionLayer(dim, heads))
        self.encoder_norm = nn.LayerNorm(dim)
        self.decoder = stack(layers, lambda: SelfGuidedLayer(dim, heads))
        self.decoder_norm = nn.LayerNorm(dim)
        # A bias of the last layer would add the same to every score: softmax does not see it.
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1, bias=False))
        self.of_query = nn.Linear(dim, dim)
        self.of_contexts = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x = query.clean()
        y, mask = self.joined(contexts, x)
        layer: Any
        for layer in self.encoder:
            x = layer(x, *layer.keys_values(x), query.mask[:, None])
        x = self.encoder_norm(x)
        for layer in self.decoder:
            y = layer(y, x, mask, query.mask)
        y = self.decoder_norm(y)
        weights = masked_softmax(self.score(y)[..., 0], mask, dim=-1)  # (B, N)
        flat = weights[:, None] @ y  # (B, 1, D)
        h = self.norm(self.of_query(x) + self.of_contexts(flat))
        return Fused(Stream(h, query.mask))


class SelfGuidedLayer(nn.Module):
    """Self-attention, attention guided by another stream, feed-forward; all residual.

    Args:
        dim: width D.
        heads: of each attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.within = AttentionSublayer(dim, heads)
        self.guided = AttentionLayer(dim, heads)

    def forward(self, y: Tensor, guide: Tensor, y_mask: Tensor, guide_mask: Tensor) -> Tensor:
        """y (B, N, D), guided by a normed stream (B, T, D); the masks (B, N) and (B, T) bool."""
        y = self.within(y, *self.within.keys_values(y), y_mask[:, None])
        keys_values = self.guided.keys_values(guide, norm=False)
        return self.guided(y, *keys_values, guide_mask[:, None])
