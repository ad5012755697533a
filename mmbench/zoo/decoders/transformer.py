"""A Transformer that writes text, with the recipe's fusion after the last or in every block.

Source: Vaswani et al., Attention Is All You Need, 2017 (arXiv 1706.03762); pre-norm blocks as in
GPT-2 (Radford et al. 2019); the output layer shares the word vectors (Press and Wolf 2017).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.fused import Decoded, FusedStates, MakeFusion, portions
from mmbench.zoo.decoders.text import WordDecoder
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.stream import Contexts, State
from mmbench.zoo.words import Words


class Block(nn.Module):
    """Causal self-attention, the fusion where there is one, and a feed-forward layer.

    Args:
        dim: width D.
        heads: of the attention.
        fusion: makes the recipe's fusion; None for a block without.
    """

    def __init__(self, dim: int, heads: int, fusion: MakeFusion) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.Linear(dim, 3 * dim)
        self.mix = nn.Linear(dim, dim)
        self.fused = FusedStates(dim, fusion, causal=True) if fusion else None
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor, contexts: Contexts) -> tuple[Tensor, list[Fused]]:
        """States (B, T, D) of whole sequences after the block, and what its fusion gave."""
        query, key, value = self.attention(self.norm(x)).chunk(3, -1)
        x = x + self._attend(query, key, value, whole=True)
        calls: list[Fused] = []
        if self.fused is not None:
            x, call = self.fused(x, contexts)
            calls.append(call)
        return x + self.feed_forward(x), calls

    def begin(self, x: Tensor, contexts: Contexts) -> State:
        """No keys and values (B, 0, D), and what the fusion keeps; x is (B, ..., D)."""
        empty = x.new_zeros(len(x), 0, self.mix.in_features)
        kept = [] if self.fused is None else self.fused.begin(len(x), x.device, contexts)
        return [empty, empty, *kept]

    def step(
        self, x: Tensor, state: State, contexts: Contexts
    ) -> tuple[Tensor, list[Fused], State]:
        """The same of one more position (B, 1, D), and the state that it leads to."""
        query, key, value = self.attention(self.norm(x)).chunk(3, -1)
        key, value = torch.cat([state[0], key], 1), torch.cat([state[1], value], 1)
        x = x + self._attend(query, key, value, whole=False)
        calls: list[Fused] = []
        kept: State = []
        if self.fused is not None:
            x, call, kept = self.fused.step(x, state[2:], contexts)
            calls.append(call)
        return x + self.feed_forward(x), calls, [key, value, *kept]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, whole: bool) -> Tensor:
        q, k, v = (t.unflatten(-1, (self._heads, -1)).transpose(1, 2) for t in (query, key, value))
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=whole)
        return self.mix(heads.transpose(1, 2).flatten(-2))


Stack = tuple[nn.ModuleList, FusedStates | None]
"""Blocks, and the fusion behind the last of them where there is one."""


def make_stack(dim: int, layers: int, heads: int, fusion: MakeFusion, fusion_at: str) -> Stack:
    """Blocks with the recipe's fusion in each of them ("every"), or once behind the last ("last").

    Raises: ValueError for sizes out of range.
    """
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    if heads < 1 or dim % heads:
        raise ValueError(f"heads must divide the width {dim}, got {heads}")
    inside = fusion if fusion_at == "every" else None
    blocks = nn.ModuleList([Block(dim, heads, inside) for _ in range(layers)])
    behind = fusion is not None and fusion_at == "last"
    return blocks, FusedStates(dim, fusion, causal=True) if behind and fusion else None


def run_stack(stack: Stack, x: Tensor, contexts: Contexts) -> tuple[Tensor, list[Fused]]:
    """States (B, T, D) of whole sequences, and what the calls of the fusion gave."""
    blocks, fused = stack
    calls: list[Fused] = []
    for block in blocks:
        x, new = block(x, contexts)
        calls += new
    if fused is not None:
        x, call = fused(x, contexts)
        calls.append(call)
    return x, calls


def begin_stack(stack: Stack, x: Tensor, contexts: Contexts) -> State:
    """The state before the first position of sequences of the batch, type and device of x."""
    blocks, fused = stack
    each: Iterable[Any] = blocks
    state = [part for block in each for part in block.begin(x, contexts)]
    return state + ([] if fused is None else fused.begin(len(x), x.device, contexts))


def step_stack(
    stack: Stack, x: Tensor, state: State, contexts: Contexts
) -> tuple[Tensor, list[Fused], State]:
    """The same as `run_stack` of one more position (B, 1, D), and the state that it leads to."""
    blocks, fused = stack
    # Blocks keep keys and values, and their fusion's state unless it stands behind the last block.
    inside = len(state) if fused is None else 2 * len(blocks)
    calls: list[Fused] = []
    after: State = []
    block: Any
    for block, past in zip(blocks, portions(state[:inside], len(blocks)), strict=True):
        x, new, kept = block.step(x, past, contexts)
        calls += new
        after += kept
    if fused is not None:
        x, call, kept = fused.step(x, state[inside:], contexts)
        calls.append(call)
        after += kept
    return x, calls, after


class TransformerDecoder(WordDecoder):
    """Causal Transformer over the words so far.

    Args:
        dim: width D.
        vocabulary: of the task.
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
        vocabulary: Words,
        fusion: MakeFusion,
        layers: int = 2,
        heads: int = 4,
        longest: int = 64,
        fusion_at: Literal["last", "every"] = "last",
    ) -> None:
        super().__init__(vocabulary)
        self.words = nn.Embedding(self.end + 1, dim)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.positions = nn.Embedding(longest, dim)
        nn.init.normal_(self.positions.weight, std=dim**-0.5)
        self.blocks, self.fused = make_stack(dim, layers, heads, fusion, fusion_at)
        self.norm = nn.LayerNorm(dim)

    def forward(self, words: Tensor, contexts: Contexts) -> Decoded:
        x, calls = run_stack((self.blocks, self.fused), self.placed(words, 0), contexts)
        return self.decoded(x, calls)

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """Empty keys and values (B, 0, D) of each block, and what the fusions keep."""
        like = torch.zeros(batch, self.words.embedding_dim, device=device)
        return begin_stack((self.blocks, self.fused), like, contexts)

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        x = self.placed(words[:, None], state[0].shape[1])
        x, calls, state = step_stack((self.blocks, self.fused), x, state, contexts)
        return self.decoded(x[:, -1], calls), state

    def placed(self, words: Tensor, start: int) -> Tensor:
        """Words (B, T) that stand from `start` on, as vectors (B, T, D)."""
        end = start + words.shape[1]
        if end > self.positions.num_embeddings:
            raise ValueError(
                f"the decoder reads {self.positions.num_embeddings} words at most; raise `longest`"
            )
        return self.words(words) + self.positions.weight[start:end]

    @property
    def most_words(self) -> int:
        return self.positions.num_embeddings

    def decoded(self, x: Tensor, calls: list[Fused]) -> Decoded:
        """Logits (B, ..., V) of states (B, ..., D), and what the fusion gave on the way there."""
        return Decoded.of(functional.linear(self.norm(x), self.words.weight), calls)
