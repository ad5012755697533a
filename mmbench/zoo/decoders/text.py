"""The `TextDecoder` contract: a decoder that writes word by word, and where fusion joins it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.stream import Stream

Contexts = Sequence[Stream | None]
State = list[Tensor]
"""What a decoder keeps from step to step: tensors (B, ...), so that beams can be reordered."""


class TextDecoder(nn.Module, ABC):
    """Words so far and the context streams -> logits of the next word, at every position.

    The decoder's states are the fusion's query, so the context is fused at every position. With
    fixed weights `step`, given one word after the other, gives the logits that `forward` gives.
    """

    @abstractmethod
    def forward(self, words: Tensor, contexts: Contexts) -> Tensor:
        """Logits (B, L, V) of the word after each of `words` (B, L); none depends on later ones."""

    @abstractmethod
    def begin(self, batch: int, device: torch.device) -> State:
        """The state before the first word."""

    @abstractmethod
    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Tensor, State]:
        """Logits (B, V) after one more word (B,), and the state that it leads to."""


class FusedStates(nn.Module):
    """x + fusion(norm(x), contexts): how a decoder's states take in the context.

    Args:
        dim: width D.
        fusion: makes the recipe's fusion.
    Shape: (B, T, D) -> (B, T, D).
    """

    def __init__(self, dim: int, fusion: Callable[[], Fusion]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fusion = fusion()

    def forward(self, x: Tensor, contexts: Contexts) -> Tensor:
        """See the class."""
        query = Stream(self.norm(x), x.new_ones(x.shape[:2]).bool())
        return x + self.fusion(query, contexts, causal=True).tokens
