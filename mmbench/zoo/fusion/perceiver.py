"""Perceiver resampler: a few learnt tokens gather the contexts, and the query attends to those.

Source: the resampler of Alayrac et al., Flamingo, 2022 (arXiv 2204.14198), sec. 2.1 and appendix
A.1.1, fig. 5, after Jaegle et al., Perceiver, 2021 (arXiv 2103.03206), sec. 3.1. The contexts are
normed once, not in each layer; 64 latent tokens and six layers there. One cross-attention layer
stands between it and the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, Joined, extended, stack
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, State, Stream


class PerceiverFusion(Fusion):
    """z <- z + Attention(z, [c; z]), z <- z + MLP(z), by layers; h = L(x) with x + Attention(x, z).

    z are learnt at first; norms stand before each sublayer and at the end. The positions of the
    query do not look at each other, so that it may stand in a text decoder.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        layers: of the resampler.
        heads: of each attention.
        latents: how many tokens the contexts become.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not attended to; without any, z attend to themselves alone.
    """

    query_form = "tokens"
    context_form = "tokens"
    causal = True
    added_with = {"layers": 2, "heads": 4, "latents": 16}
    family = "resampler"
    cost = Cost(
        parameters="latents*D + (M-1)*D + 6*D + (layers+1)*(12*D**2 + 12*D)",
        operations="layers*(20*D**2*latents + (4*D**2 + 4*D*latents)*(latents + (M-1)*N))"
        " + 20*D**2*T + 4*D**2*latents + 4*D*T*latents",
    )

    def __init__(
        self, dim: int, contexts: Sequence[str], layers: int = 2, heads: int = 4, latents: int = 16
    ) -> None:
        super().__init__(dim, contexts)
        if latents < 1:
            raise ValueError(f"latents must be at least 1, got {latents}")
        self.latents = nn.Parameter(torch.randn(latents, dim) * 0.02)
        self.joined = Joined(dim, contexts)
        self.context_norm = nn.LayerNorm(dim)
        self.resampler = stack(layers, lambda: AttentionLayer(dim, heads))
        self.latent_norm = nn.LayerNorm(dim)
        self.across = AttentionLayer(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        return self._look(query, self._resample(contexts, query.tokens))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """Keys and values (B, L, D) of the latent tokens."""
        return self._resample(contexts, self.latents.new_zeros(batch, self.dim))

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        return self._look(query, state), state

    def _resample(self, contexts: Contexts, like: Tensor) -> list[Tensor]:
        tokens, mask = self.joined(contexts, like)
        tokens = self.context_norm(tokens)
        z = self.latents.expand(len(tokens), -1, -1)
        mask = torch.cat([mask, Stream.whole(z).mask], 1)[:, None]
        layer: Any
        for layer in self.resampler:
            of_contexts = layer.keys_values(tokens, norm=False)
            z = layer(z, *extended(of_contexts, layer.keys_values(z)), mask)
        return self.across.keys_values(self.latent_norm(z), norm=False)

    def _look(self, query: Stream, keys_values: list[Tensor]) -> Fused:
        everything = Stream.whole(keys_values[0]).mask[:, None]
        x = self.across(query.clean(), *keys_values, everything)
        return Fused(Stream(self.norm(x), query.mask))
