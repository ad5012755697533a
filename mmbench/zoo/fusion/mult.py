"""MulT: every modality attends to every other, pair by pair, then each to what it found.

Source: Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, 2019 (arXiv
1906.00295), sec. 3.1-3.2, eq. 3-6 and fig. 1-2. Positions are the encoders' here, so that
no sines are added; GELU for ReLU. Of the contexts the mean of their positions is taken, for the
paper's last one, and the query's positions stay apart for the task's decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, stack
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class MulTFusion(Fusion):
    """z_i = Self_i([Cross_ij(x_i, x_j) for j != i]), s = [z_0; mean z_1; ...], h = W(s + MLP(s)).

    Each modality is projected to D / 2 features first, as the paper has few (40) in each pair.

    Args:
        dim: width D of every stream; even.
        contexts: the names of the context modalities.
        layers: of each of the M (M - 1) crossmodal Transformers, and of each self-attention one.
        heads: of each; they divide D / 2.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context is not attended to, and its own z is zero.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = False  # the contexts look at the whole query
    added_with = {"layers": 3, "heads": 4}
    family = "crossmodal pairs"
    cost = Cost(
        parameters="M*D**2/2 + M*(M-1)*(layers*(3*D**2 + 6*D) + D)"
        " + M*(layers*(3*(M-1)**2*D**2 + 6*(M-1)*D) + (M-1)*D)"
        " + (M*(M-1)*D)**2/2 + M*(M-1)*D + M*(M-1)*D**2/2 + D",
        operations="D**2*(T + (M-1)*N)"
        " + layers*(6*(M-1)*D**2*(T + (M-1)*N) + 2*D*((T + (M-1)*N)**2 - T**2 - (M-1)*N**2))"
        " + layers*(6*(M-1)**2*D**2*(T + (M-1)*N) + 2*(M-1)*D*(T**2 + (M-1)*N**2))"
        " + (M**2*(M-1)**2 + M*(M-1))*D**2*T",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        if heads < 1 or dim % (2 * heads):
            raise ValueError(f"heads must divide half of the width {dim}, got {heads}")
        half, others = dim // 2, len(contexts)
        joined = len(self.modalities) * others * half
        self.project = nn.ModuleList([nn.Linear(dim, half, bias=False) for _ in self.modalities])
        self.across = nn.ModuleList(
            [stack(others, lambda: Crossmodal(half, layers, heads)) for _ in self.modalities]
        )
        self.within = nn.ModuleList(
            [Crossmodal(others * half, layers, heads) for _ in self.modalities]
        )
        self.mix = nn.Sequential(nn.Linear(joined, joined), nn.ReLU(), nn.Linear(joined, joined))
        self.out = nn.Linear(joined, dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        empty = Stream(query.tokens[:, :0], query.mask[:, :0])
        streams = [query, *(empty if c is None else c for c in contexts)]
        projected = [
            Stream(project(stream.clean()), stream.mask)
            for project, stream in zip(self.project, streams, strict=True)
        ]
        found = []
        across: Any
        for target, (x, across, within) in enumerate(
            zip(projected, self.across, self.within, strict=True)
        ):
            others = [other for place, other in enumerate(projected) if place != target]
            pairs = [
                layer(x.tokens, y.tokens, y.mask) for layer, y in zip(across, others, strict=True)
            ]
            found.append(Stream(within(torch.cat(pairs, -1), None, x.mask), x.mask))
        own, length = found[0].tokens, query.tokens.shape[1]
        pooled = [z.pool()[:, None].expand(-1, length, -1) for z in found[1:]]
        s = torch.cat([own, *pooled], -1)  # (B, T, M (M - 1) D / 2)
        return Fused(Stream(self.out(s + self.mix(s)), query.mask))


class Crossmodal(nn.Module):
    """A Transformer from one stream to another, or within one; a norm at its end.

    Args:
        dim: its width.
        layers: of attention.
        heads: of each.
    """

    def __init__(self, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, y: Tensor | None, mask: Tensor) -> Tensor:
        """x (B, T, D), having looked at y (B, N, D) or at itself, as the mask (B, N) says."""
        layer: Any
        for layer in self.layers:
            x = layer(x, *layer.keys_values(x if y is None else y), mask[:, None])
        return self.norm(x)
