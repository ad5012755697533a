"""Multi-head attention and pre-norm layers of it, for fusions over tokens.

Source: Vaswani et al., Attention Is All You Need, 2017 (arXiv 1706.03762), sec. 3.2; norms before
the sublayers as in Xiong et al., 2020 (arXiv 2002.04745).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.stream import Contexts, State


class Attention(nn.Module):
    """softmax(q k^T / sqrt(D / heads)) v, in several heads.

    Keys have no bias: it would add the same to all scores of a query, which softmax does not see.

    Args:
        dim: width D.
        heads: which divide it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"heads must divide the width {dim}, got {heads}")
        self._heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """What each position finds, (B, T, D); zeros before `mix` for one that may see nothing.

        Args:
            x: (B, T, D), the positions that ask.
            keys, values: (B, N, D), as `self.key` and `self.value` make them.
            mask: (B, 1 or T, N) bool, what each may see.
        """
        if keys.shape[1] == 0:
            return self.mix(torch.zeros_like(x))
        q, k, v = (
            t.unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for t in (self.query(x), keys, values)
        )
        some = mask.any(-1, keepdim=True)  # softmax over nothing is not a number
        found = functional.scaled_dot_product_attention(q, k, v, (mask | ~some)[:, None])
        return self.mix(found.transpose(1, 2).flatten(-2) * some)


class AttentionSublayer(nn.Module):
    """x + Attention(norm(x), keys, values): the first half of a layer.

    Args:
        dim: width D.
        heads: of the attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)

    def keys_values(self, x: Tensor, norm: bool = True) -> list[Tensor]:
        """Keys and values of positions (B, N, D), normed first unless they have been."""
        x = self.norm(x) if norm else x
        return [self.attention.key(x), self.attention.value(x)]

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D); keys, values and mask as `Attention` takes them."""
        return x + self.attention(self.norm(x), keys, values, mask)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return self.attend(x, keys, values, mask)


class AttentionLayer(AttentionSublayer):
    """Attention, then a feed-forward layer; both residual, with norms before them.

    Args:
        dim: width D.
        heads: of the attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads)
        self.feed_forward = feed_forward(dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D); keys, values and mask as `Attention` takes them."""
        x = self.attend(x, keys, values, mask)
        return x + self.feed_forward(x)


def feed_forward(dim: int) -> nn.Sequential:
    """A norm and two layers, four times as wide between them: the second half of a layer."""
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
    )


def stack(layers: int, make: Callable[[], nn.Module], least: int = 1) -> nn.ModuleList:
    """So many layers.

    Raises: ValueError for fewer than `least`.
    """
    if layers < least:
        raise ValueError(f"layers must be at least {least}, got {layers}")
    return nn.ModuleList([make() for _ in range(layers)])


def left_to_right(prefix: int, length: int, device: torch.device) -> Tensor:
    """What each of prefix + length positions may see of them, (P + T, P + T) bool.

    The prefix sees the prefix; a position after it sees the prefix and what stands before it.
    """
    place = torch.arange(prefix + length, device=device)
    place = place.clamp(min=prefix - 1)  # all of the prefix stands at one place
    return place[:, None] >= place


def extended(past: Sequence[Tensor], new: Sequence[Tensor]) -> list[Tensor]:
    """Keys and values (B, N, D) of earlier positions, then those of new ones."""
    return [torch.cat(pair, 1) for pair in zip(past, new, strict=True)]


def step_through(layers: nn.ModuleList, x: Tensor, there: Tensor, state: State) -> State:
    """One more position of a stream whose positions see what stands before them.

    Args:
        layers: each an `AttentionLayer`.
        x: (B, 1, D).
        there: (B, 1) bool, its mask.
        state: the mask (B, N) of what stands before it, then its keys and values of each layer.
    Returns: what the layers make of the position, (B, 1, D), then the state after it.
    """
    there = torch.cat([state[0], there], 1)
    new = [there]
    layer: Any
    for number, layer in enumerate(layers):
        keys_values = extended(state[1 + 2 * number : 3 + 2 * number], layer.keys_values(x))
        x = layer(x, *keys_values, there[:, None])
        new += keys_values
    return [x, *new]


class Joined(nn.Module):
    """Context streams side by side, each token with a learnt vector of its modality.

    Source: the modality embeddings of Kim et al., ViLT, 2021 (arXiv 2102.03334), sec. 3.1.

    Args:
        dim: width D.
        names: of the contexts.
    """

    def __init__(self, dim: int, names: Sequence[str]) -> None:
        super().__init__()
        self._names = list(names)
        self.kinds = nn.ParameterDict({name: torch.randn(dim) * 0.02 for name in names})

    def forward(self, contexts: Contexts, like: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, D), zeros where masked, and their mask (B, N), of the contexts there are.

        Args:
            contexts: in the order of the names.
            like: (B, ..., D), of the batch, type and device that are wanted.
        """
        tokens, masks = [], []
        for name, context in zip(self._names, contexts, strict=True):
            if context is not None:
                marked = context.tokens + self.kinds[name]
                tokens.append(marked.masked_fill(~context.mask[..., None], 0))
                masks.append(context.mask)
        if not tokens:
            nothing = like.new_zeros(len(like), 0, like.shape[-1])
            return nothing, torch.zeros_like(nothing[..., 0], dtype=torch.bool)
        if len(tokens) == 1:  # cat would copy it
            return tokens[0], masks[0]
        return torch.cat(tokens, 1), torch.cat(masks, 1)
