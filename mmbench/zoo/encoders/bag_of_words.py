"""The text encoder that knows no order: its tokens are word vectors."""

from __future__ import annotations

from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream


class BagOfWords(Encoder):
    """A vector a word; pooled, they are the classic bag of words.

    Args:
        dim: width D of the tokens.
        vocabulary: how many token numbers there are; 0 is padding.
    Shape: (B, L) int64 -> (B, L, D).
    """

    modality = "text"

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.dim = dim
        self.words = nn.Embedding(vocabulary, dim)

    def forward(self, x: Tensor) -> Stream:
        """See the class."""
        return Stream(self.words(x), x != 0)
