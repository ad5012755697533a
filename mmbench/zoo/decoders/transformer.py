"""A Transformer that writes text, with the recipe's fusion after the last or in every block.

Source: Vaswani et al., Attention Is All You Need, 2017 (arXiv 1706.03762); pre-norm blocks as in
GPT-2 (Radford et al. 2019); the output layer shares the word vectors (Press and Wolf 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.text import Contexts, FusedStates, State, TextDecoder
from mmbench.zoo.fusion.base import Fusion


class Block(nn.Module):
    """Causal self-attention, the fusion where there is one, and a feed-forward layer.

    Args:
        dim: width D.
        heads: of the attention.
        fusion: makes the recipe's fusion; None for a block without.
    """

    def __init__(self, dim: int, heads: int, fusion: Callable[[], Fusion] | None) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.Linear(dim, 3 * dim)
        self.mix = nn.Linear(dim, dim)
        self.fused = FusedStates(dim, fusion) if fusion else None
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor, past: State, contexts: Contexts) -> tuple[Tensor, State]:
        """States (B, T, D) after the block, and its keys and values (B, t + T, D).

        Args:
            x: (B, T, D); only a single new position where there is a past.
            past: keys and values (B, t, D) of earlier positions.
            contexts: for the fusion.
        """
        query, key, value = self.attention(self.norm(x)).chunk(3, -1)
        whole = past[0].shape[1] == 0
        if not whole:
            key, value = torch.cat([past[0], key], 1), torch.cat([past[1], value], 1)
        q, k, v = (t.unflatten(-1, (self._heads, -1)).transpose(1, 2) for t in (query, key, value))
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=whole)
        x = x + self.mix(heads.transpose(1, 2).flatten(-2))
        if self.fused is not None:
            x = self.fused(x, contexts)
        return x + self.feed_forward(x), [key, value]


class TransformerDecoder(TextDecoder):
    """Causal Transformer over the words so far.

    Args:
        dim: width D.
        vocabulary: V, how many words it knows.
        fusion: makes the recipe's fusion; None writes without looking at any context.
        layers: blocks.
        heads: of their attention.
        longest: the most words that it reads.
        fusion_at: "last" fuses once after the blocks; "every" in each block instead.
    """

    added_with = {"layers": 2, "heads": 4, "longest": 64, "fusion_at": "last"}

    def __init__(
        self,
        dim: int,
        vocabulary: int,
        fusion: Callable[[], Fusion] | None,
        layers: int = 2,
        heads: int = 4,
        longest: int = 64,
        fusion_at: Literal["last", "every"] = "last",
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        if heads < 1 or dim % heads:
            raise ValueError(f"heads must divide the width {dim}, got {heads}")
        inside = fusion if fusion_at == "every" else None
        self.words = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.positions = nn.Embedding(longest, dim)
        nn.init.normal_(self.positions.weight, std=dim**-0.5)
        self.blocks = nn.ModuleList([Block(dim, heads, inside) for _ in range(layers)])
        self.fused = FusedStates(dim, fusion) if fusion and fusion_at == "last" else None
        self.norm = nn.LayerNorm(dim)

    def forward(self, words: Tensor, contexts: Contexts) -> Tensor:
        """See `TextDecoder.forward`."""
        return self._run(words, self.begin(len(words), words.device), contexts)[0]

    def begin(self, batch: int, device: torch.device) -> State:
        """Empty keys and values (B, 0, D) of each block."""
        dim = self.words.embedding_dim
        return [torch.zeros(batch, 0, dim, device=device) for _ in range(2 * len(self.blocks))]

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, State]:
        """See `TextDecoder.step`."""
        logits, state = self._run(words[:, None], state, contexts)
        return logits[:, -1], state

    def _run(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, State]:
        start = state[0].shape[1]
        places = torch.arange(start, start + words.shape[1], device=words.device)
        if int(places[-1]) >= self.positions.num_embeddings:
            raise ValueError(
                f"the decoder reads {self.positions.num_embeddings} words at most; raise `longest`"
            )
        x = self.words(words) + self.positions(places)
        new: State = []
        for number, block in enumerate(self.blocks):
            x, kept = block(x, state[2 * number : 2 * number + 2], contexts)
            new += kept
        if self.fused is not None:
            x = self.fused(x, contexts)
        return functional.linear(self.norm(x), self.words.weight), new
