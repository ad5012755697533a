"""Q-Former (BLIP-2): learnt queries read the contexts, and share self-attention with the text.

Source: Li et al., BLIP-2, 2023 (arXiv 2301.12597), sec. 3.1-3.2, fig. 2: the two-way mask of
image-text matching; with `causal=True` that of image-grounded text generation. Norms stand before
the sublayers here, after them there; 32 queries and twelve layers there. The text's positions are
read, since these are the query's, where the paper hands the learnt queries to a language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import (
    AttentionLayer,
    AttentionSublayer,
    Joined,
    feed_forward,
    left_to_right,
    stack,
    step_through,
)
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, State, Stream


class QFormerFusion(Fusion):
    """[q; x] <- Self([q; x]); q <- MLP_q(Cross(q, c)), x <- MLP_x(x), all residual; h = norm(x).

    The learnt queries q look at the contexts in every other layer, the first among them, as there.
    What the last layer would make of q nobody reads. With `causal=True` q looks at q and the
    contexts alone, and a position of x at q and at what stands before it.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of self-attention.
        heads: of each attention.
        queries: how many are learnt.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = True
    added_with = {"layers": 2, "heads": 4, "queries": 16}
    family = "resampler"
    cost = Cost(
        parameters="queries*D + (M-1)*D + 4*D + layers*(12*D**2 + 12*D)"
        " + (layers-1)*(8*D**2 + 7*D) + layers//2*(4*D**2 + 5*D)",
        operations="layers*(24*D**2*T + 4*D**2*queries + 4*D*T*(queries + T))"
        " + (layers-1)*(20*D**2*queries + 4*D*queries*(queries + T))"
        " + layers//2*(4*D**2*(queries + (M-1)*N) + 4*D*queries*(M-1)*N)",
    )

    def __init__(
        self, dim: int, contexts: Sequence[str], layers: int = 2, heads: int = 4, queries: int = 16
    ) -> None:
        super().__init__(dim, contexts)
        if queries < 1:
            raise ValueError(f"queries must be at least 1, got {queries}")
        self.queries = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.joined = Joined(dim, contexts)
        self.context_norm = nn.LayerNorm(dim)
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads), least=2)
        self.across = stack(layers // 2, lambda: AttentionSublayer(dim, heads))
        self.of_queries = stack(layers - 1, lambda: feed_forward(dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x, count = query.clean(), len(self.queries)
        q, tokens, mask = self._start(contexts, x)
        seen = torch.cat([Stream.whole(q).mask, query.mask], 1)[:, None].expand(
            -1, count + x.shape[1], -1
        )
        if causal:
            seen = seen & left_to_right(count, x.shape[1], x.device)
        layer: Any
        for number, layer in enumerate(self.layers):
            keys_values = layer.keys_values(torch.cat([q, x], 1))
            q = self._gather(number, q, keys_values, seen[:, :count], tokens, mask)
            x = layer(x, *keys_values, seen[:, count:])
        return Fused(Stream(self.norm(x), query.mask))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The mask (B, Q) of the learnt queries, their keys and values (B, Q, D) of each layer."""
        q, tokens, mask = self._start(contexts, self.queries.new_zeros(batch, self.dim))
        there = Stream.whole(q).mask
        state = [there]
        layer: Any
        for number, layer in enumerate(self.layers):
            keys_values = layer.keys_values(q)
            q = self._gather(number, q, keys_values, there[:, None], tokens, mask)
            state += keys_values
        return state

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        x, *state = step_through(self.layers, query.clean(), query.mask, state)
        return Fused(Stream(self.norm(x), query.mask)), state

    def _start(self, contexts: Contexts, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The learnt queries (B, Q, D), the contexts' tokens (B, N, D) and their mask (B, N)."""
        tokens, mask = self.joined(contexts, like)
        return self.queries.expand(len(like), -1, -1), self.context_norm(tokens), mask

    def _gather(
        self,
        number: int,
        q: Tensor,
        keys_values: list[Tensor],
        seen: Tensor,
        tokens: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """The learnt queries after a layer; what goes into the last one is not read after it."""
        if number == len(self.of_queries):
            return q
        layer: Any = self.layers[number]
        q = layer.attend(q, *keys_values, seen)
        if number % 2 == 0:
            across: Any = self.across[number // 2]
            q = across(q, *across.keys_values(tokens, norm=False), mask[:, None])
        return q + self.of_queries[number](q)
