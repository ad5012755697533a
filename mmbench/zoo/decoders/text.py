"""The `TextDecoder` contract: a decoder that writes word by word."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.stream import Contexts, State
from mmbench.zoo.words import UNKNOWN, Words, padded


class TextDecoder(nn.Module, ABC):
    """Words so far and the context streams -> logits of the next word, at every position.

    It owns its words: `read` turns texts into their numbers, `spell` numbers into texts. The
    decoder's states are the fusion's query, so the context is fused at every position. With fixed
    weights `step`, given one word after the other, gives the logits that `forward` gives.

    Attributes:
        end: the number that begins and ends a text.
        never: numbers that are never written, such as that of an unknown word.
        pieces: how many numbers a word is reckoned as, where a text may have so many words.
        joins: names of its parts that take in the contexts, beside those that know the language.
        fuses: whether it takes in the contexts by layers of its own, told their names as
            `contexts`, so that a recipe names no fusion.
        joining: names of its options that decide nothing of what it writes without contexts.
    """

    end: int
    never: tuple[int, ...]
    pieces: int = 1
    joins: ClassVar[tuple[str, ...]] = ("fused",)
    fuses: ClassVar[bool] = False
    joining: ClassVar[tuple[str, ...]] = ()

    @property
    def most_words(self) -> int | None:
        """How many numbers it reads at most, the end that begins a text included; None: any."""
        return None

    @abstractmethod
    def read(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        """Numbers (B, L) int64 of at most `longest` words, without the end, and their mask."""

    @abstractmethod
    def spell(self, numbers: Iterable[int]) -> str:
        """The text of words that were written."""

    @abstractmethod
    def forward(self, words: Tensor, contexts: Contexts) -> Decoded:
        """Logits (B, L, V) of the word after each of `words` (B, L); none depends on later ones."""

    @abstractmethod
    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The state before the first word."""

    @abstractmethod
    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        """Logits (B, V) after one more word (B,), and the state that it leads to."""


class WordDecoder(TextDecoder):
    """A decoder that writes the words of its task's vocabulary; the end is one number more.

    Args:
        vocabulary: of the task.
    """

    def __init__(self, vocabulary: Words) -> None:
        super().__init__()
        self._vocabulary = vocabulary
        self.end = len(vocabulary)
        self.never = (0, UNKNOWN)

    def read(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        return padded([row[:longest] for row in self._vocabulary.rows(texts)])

    def spell(self, numbers: Iterable[int]) -> str:
        return self._vocabulary.decode(numbers)
