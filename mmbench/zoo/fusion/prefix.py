"""Prefix (LLaVA): the contexts, projected, stand before the query in a causal Transformer.

Source: Liu et al., Visual Instruction Tuning, 2023 (arXiv 2304.08485), sec. 4.1, eq. 1 and fig. 1:
a linear projection of the image's tokens, then the words. There the Transformer is a pretrained
language model; here it is trained with the rest.
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


class PrefixFusion(Fusion):
    """z = [W_1 c_1; ...; W_n c_n; x]; z <- CausalTransformer(z); h = norm(z_query).

    Every token sees those before it and itself, the contexts' tokens too, whether text is written
    or not; so it is causal either way.

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
    family = "prefix"
    cost = Cost(
        parameters="(M-1)*(D**2 + D) + 2*D + layers*(12*D**2 + 12*D)",
        operations="2*D**2*(M-1)*N + layers*(24*D**2 * (T + (M-1)*N) + 4*D * (T + (M-1)*N)**2)",
    )

    def __init__(self, dim: int, contexts: Sequence[str], layers: int = 3, heads: int = 4) -> None:
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in contexts])
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        prefix = self._prefix(contexts, query.tokens)
        z = torch.cat([prefix.tokens, query.clean()], 1)
        there = torch.cat([prefix.mask, query.mask], 1)
        z, _ = self._transform(z, there)
        return Fused(Stream(self.norm(z[:, prefix.mask.shape[1] :]), query.mask))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The mask (B, N) of the contexts, and their keys and values (B, N, D) of each layer."""
        prefix = self._prefix(contexts, self.norm.weight.new_zeros(batch, 1, self.dim))
        _, keys_values = self._transform(prefix.tokens, prefix.mask)
        return [prefix.mask, *keys_values]

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        x, *state = step_through(self.layers, query.clean(), query.mask, state)
        return Fused(Stream(self.norm(x), query.mask)), state

    def _prefix(self, contexts: Contexts, like: Tensor) -> Stream:
        """The contexts there are, projected, side by side; empty without any."""
        tokens, masks = [like[:, :0]], [torch.zeros_like(like[:, :0, 0], dtype=torch.bool)]
        for project, context in zip(self.project, contexts, strict=True):
            if context is not None:
                tokens.append(project(context.clean()))
                masks.append(context.mask)
        return Stream(torch.cat(tokens, 1), torch.cat(masks, 1))

    def _transform(self, z: Tensor, there: Tensor) -> tuple[Tensor, list[Tensor]]:
        """z (B, N, D) after all layers, and the keys and values of each."""
        mask = there[:, None] & left_to_right(0, z.shape[1], z.device)
        kept = []
        layer: Any
        for layer in self.layers:
            keys_values = layer.keys_values(z)
            z = layer(z, *keys_values, mask)
            kept += keys_values
        return z, kept
