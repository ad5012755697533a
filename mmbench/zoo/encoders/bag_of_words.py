"""The text encoder that knows no order: its tokens are word vectors."""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.zoo.encoders.base import WordEncoder, mask_of
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import Words


class BagOfWords(WordEncoder):
    """A vector a word; pooled by their mean, they are the classic bag of words.

    Args:
        dim: width D of the tokens.
        vocabulary: of the task.
    Shape: (B, L) int64 -> (B, L, D).
    """

    def __init__(self, dim: int, vocabulary: Words) -> None:
        super().__init__(vocabulary)
        self.dim = dim
        self.words = nn.Embedding(len(vocabulary), dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        return Stream(self.words(x), mask_of(x, mask))
