"""Attention bottlenecks (MBT): modalities exchange what passes through a few tokens.

Source: Nagrani et al., Attention Bottlenecks for Multimodal Fusion, 2021 (arXiv 2107.00135), sec.
3.2.3, eq. 8-9, pre-norm layers as there. All layers here exchange, since the encoders stand for
those before; and the query's positions are read, where the paper has the classes of all modalities
averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, left_to_right, stack, step_through
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, State, Stream


class BottleneckFusion(Fusion):
    """[b_i; z_i] <- Transformer_i([b; z_i]), then b <- mean_i b_i, by layers; h = norm(z_query).

    With `causal=True` the query reads the bottlenecks b and adds nothing to them, and its positions
    see what stands before. What the last layer would make of contexts and bottlenecks nobody reads,
    so that the contexts have one layer less.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of each modality's Transformer.
        heads: of each attention.
        bottlenecks: how many tokens all modalities share.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    A missing context is left out of the mean; without any modality, b is zero.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = True
    added_with = {"layers": 2, "heads": 4, "bottlenecks": 4}
    family = "bottleneck"
    cost = Cost(
        parameters="bottlenecks*D + 2*D + (layers + (layers-1)*(M-1))*(12*D**2 + 12*D)",
        operations="layers*(24*D**2*T + 4*D**2*bottlenecks + 4*D*T*(T + bottlenecks))"
        " + (layers-1)*(20*D**2*bottlenecks + 4*D*bottlenecks*(T + bottlenecks))"
        " + (layers-1)*(M-1)*(24*D**2*(N + bottlenecks) + 4*D*(N + bottlenecks)**2)",
    )

    def __init__(
        self,
        dim: int,
        contexts: Sequence[str],
        layers: int = 2,
        heads: int = 4,
        bottlenecks: int = 4,
    ) -> None:
        super().__init__(dim, contexts)
        if bottlenecks < 1:
            raise ValueError(f"bottlenecks must be at least 1, got {bottlenecks}")
        self.bottlenecks = nn.Parameter(torch.randn(bottlenecks, dim) * 0.02)
        self.of_query = stack(layers, lambda: AttentionLayer(dim, heads), least=2)
        self.of_contexts = stack(
            layers - 1, lambda: stack(len(contexts), lambda: AttentionLayer(dim, heads))
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        x, count = query.clean(), len(self.bottlenecks)
        b = self.bottlenecks.expand(len(x), -1, -1)
        seen = torch.cat([Stream.whole(b).mask, query.mask], 1)[:, None]
        x_seen = seen
        if causal:
            x_seen = seen & left_to_right(count, x.shape[1], x.device)[count:]
        contexts = [c and Stream(c.clean(), c.mask) for c in contexts]
        layer: Any
        for number, layer in enumerate(self.of_query):
            keys_values = layer.keys_values(torch.cat([b, x], 1))
            if number < len(self.of_contexts):
                told = [] if causal else [(layer(b, *keys_values, seen), query.present)]
                b, contexts = self._exchange(number, b, contexts, told)
            x = layer(x, *keys_values, x_seen)
        return Fused(Stream(self.norm(x), query.mask))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The mask (B, K) of the bottlenecks, their keys and values (B, K, D) of each layer."""
        b = self.bottlenecks.expand(batch, -1, -1)
        state = [Stream.whole(b).mask]
        contexts = [c and Stream(c.clean(), c.mask) for c in contexts]
        layer: Any
        for number, layer in enumerate(self.of_query):
            state += layer.keys_values(b)
            if number < len(self.of_contexts):
                b, contexts = self._exchange(number, b, contexts, [])
        return state

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        x, *state = step_through(self.of_query, query.clean(), query.mask, state)
        return Fused(Stream(self.norm(x), query.mask)), state

    def _exchange(
        self, number: int, b: Tensor, contexts: Contexts, told: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[Stream | None]]:
        """The bottlenecks and the contexts after a layer.

        Args:
            number: of the layer.
            b: (B, K, D), the bottlenecks before it.
            contexts: before it, zeros where masked.
            told: what other modalities make of the bottlenecks, and (B,) bool, which are there.
        """
        after: list[Stream | None] = []
        told = list(told)
        layers: Any = self.of_contexts[number]
        for layer, context in zip(layers, contexts, strict=True):
            if context is None:
                after.append(None)
                continue
            z = torch.cat([b, context.tokens], 1)
            mask = torch.cat([Stream.whole(b).mask, context.mask], 1)[:, None]
            own, tokens = layer(z, *layer.keys_values(z), mask).split(
                [b.shape[1], z.shape[1] - b.shape[1]], 1
            )
            told.append((own, context.present))
            after.append(Stream(tokens, context.mask))
        total, count = torch.zeros_like(b), torch.zeros_like(b[:, 0, 0])
        for own, present in told:
            total = total + own * present[:, None, None]
            count = count + present
        return total / count.clamp(min=1)[:, None, None], after
