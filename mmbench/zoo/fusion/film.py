"""FiLM: the query scales and shifts the features of the contexts' tokens, block by block.

Source: Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018 (arXiv
1709.07871), eq. 1-2 and fig. 3: gains around one, residual blocks whose norm before the modulation
has no parameters, and a maximum over all places.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import Joined
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.stream import Contexts, Stream


class FiLMFusion(Fusion):
    """u = relu(A c + a); c <- u + relu((1 + g) * norm(B u) + b), [g; b] = W q; h = V max_n c_n + v.

    Block by block, for each token c of the contexts and each position q of the query by itself,
    with g and b of each block. The paper's convolution of 3 x 3 and its batch norm are a linear
    layer and a layer norm here, since tokens need not lie on a grid, and what a sample gives must
    not depend on its batch.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities.
        blocks: of modulation.
    Shape: query (B, T, D), each context (B, N_i, D) -> (B, T, D).
    The tokens of a missing context are not among those of the maximum. Without any context, one
    token of zeros is modulated, so that the query is heard all the same.
    """

    query_form = "pooled"
    context_form = "tokens"
    causal = True
    added_with = {"blocks": 4}
    family = "modulation"
    cost = Cost(
        parameters="(M-1)*D + blocks*(4*D**2 + 3*D) + D**2 + D",
        operations="4*D**2*(M-1)*N*(1 + (blocks-1)*T) + 4*D**2*blocks*T + 2*D**2*T",
    )

    def __init__(self, dim: int, contexts: Sequence[str], blocks: int = 4) -> None:
        super().__init__(dim, contexts)
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {blocks}")
        self.joined = Joined(dim, contexts)
        self.modulation = nn.Linear(dim, blocks * 2 * dim)
        self.first = nn.ModuleList([nn.Linear(dim, dim) for _ in range(blocks)])
        self.second = nn.ModuleList([nn.Linear(dim, dim, bias=False) for _ in range(blocks)])
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        c, there = self._tokens(contexts, query.tokens)  # (B, 1, N, D): one copy for all positions
        modulation = self.modulation(query.clean())[:, :, None]  # (B, T, 1, blocks * 2 * D)
        blocks = zip(self.first, self.second, modulation.split(2 * self.dim, -1), strict=True)
        for first, second, gains_shifts in blocks:
            gain, shift = gains_shifts.chunk(2, -1)
            u = first(c).relu()
            c = u + torch.addcmul(shift, 1 + gain, self.norm(second(u))).relu()
        # Nothing is below zero after a relu, so that zeros leave the maximum to the others.
        return Fused(Stream(self.out((c * there[..., None]).amax(2)), query.mask))

    def _tokens(self, contexts: Contexts, like: Tensor) -> tuple[Tensor, Tensor]:
        """The contexts' tokens (B, 1, N, D) and which are there (B, 1, N), at least one of them."""
        tokens, mask = self.joined(contexts, like)
        if not tokens.shape[1]:
            tokens, mask = like.new_zeros(len(like), 1, self.dim), mask.new_zeros(len(like), 1)
        first = mask[:, :1] | ~mask.any(1, keepdim=True)
        return tokens[:, None], torch.cat([first, mask[:, 1:]], 1)[:, None]
