"""Merged attention: one Transformer over the tokens of all modalities, a single stream.

Source: Kim et al., ViLT, 2021 (arXiv 2102.03334), sec. 3.1, eq. 1-5 (modality embeddings, pre-norm
layers). Where text is written, a prefix is what all see and the rest is seen from the left, as in
the prefix language model of Raffel et al., T5, 2020 (arXiv 1910.10683), fig. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mmbench.zoo.attention import AttentionLayer, Joined, left_to_right, stack, step_through
from mmbench.zoo.fusion.base import QUERY, Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, State, Stream


class MergedAttentionFusion(Fusion):
    """z = [contexts; query]; z <- z + Attention(norm(z)); z <- z + MLP(norm(z)); h = norm(z_query).

    With `causal=True` the contexts attend to the contexts alone, and a position of the query to
    the contexts and to what stands before it.

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
    family = "single stream"
    cost = Cost(
        parameters="M*D + 2*D + layers*(12*D**2 + 12*D)",
        operations="layers*(24*D**2 * (T + (M-1)*N) + 4*D * (T + (M-1)*N)**2)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.joined = Joined(dim, [*contexts, QUERY])
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x, there = self.joined([*contexts, query], query.tokens)
        length, width = query.tokens.shape[1], x.shape[1]
        mask = there[:, None].expand(-1, width, -1)
        if causal:
            mask = mask & left_to_right(width - length, length, x.device)
        layer: Any
        for layer in self.layers:
            x = layer(x, *layer.keys_values(x), mask)
        return Fused(Stream(self.norm(x[:, width - length :]), query.mask))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The mask (B, N) of the contexts, and their keys and values (B, N, D) of each layer."""
        like = self.norm.weight.new_zeros(batch, self.dim)
        x, there = self.joined([*contexts, None], like)
        state = [there]
        layer: Any
        for layer in self.layers:
            keys_values = layer.keys_values(x)
            x = layer(x, *keys_values, there[:, None])
            state += keys_values
        return state

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        x, there = self.joined([*[None] * len(contexts), query], query.tokens)
        x, *state = step_through(self.layers, x, there, state)
        return Fused(Stream(self.norm(x), query.mask)), state
