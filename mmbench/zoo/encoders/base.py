"""The `Encoder` contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.zoo.given import described, mistaken, tell_failure
from mmbench.zoo.pooling import MeanPooling, Pooling
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import UNKNOWN, Words, padded


class Encoder(nn.Module, ABC):
    """One modality -> a stream of token vectors.

    It owns its input: `read` turns what samples hold into tensors (words to numbers, images to the
    size it wants), and `forward` normalises and encodes these. Which positions are there is said
    by a mask alone, never by a value.

    Attributes:
        modality: what it reads: "image", "video", "audio" or "text".
        dim: the width D of its stream.
        pooling: how its stream becomes one vector; a recipe chooses (`pooling: first`).
    """

    modality: ClassVar[str]
    dim: int
    pooling: Pooling

    def __init__(self) -> None:
        super().__init__()
        self.pooling = MeanPooling()

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """Values of samples as what `forward` takes.

        Args:
            values: media, whose `array()` is (H, W, 3) uint8 of an image, (T, H, W, 3) uint8 of a
                video, (S,) int16 of a sound; or texts. Where media lie one behind the other
                `values.arrays` (B, ...) is all of them, and nothing is copied.
        Returns: (B, 3, H, W) uint8 images, (B, T, 3, H, W) uint8 videos, (B, S) int16 sounds, or
            (B, L) int64 numbers of words; and a mask (B, L) bool, None where all is there.
        """
        found = getattr(values, "arrays", None)
        if found is None:
            found = np.stack([value.array() for value in values])
        arrays = torch.from_numpy(found)
        return (arrays.movedim(-1, -3) if arrays.ndim > 2 else arrays), None

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        """The stream (B, N, D) of a batch. A sample's tokens do not depend on the others'.

        Args:
            x, mask: as `read` gives them.
        """

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        """`forward`, checked.

        Raises: MMBenchError naming the encoder if it gives anything but a stream of its width, a
            row a sample, or if one of another package fails.
        """
        try:
            stream = super().__call__(x, mask)
        except Exception as error:
            tell_failure(self, error, f"{described(x)} of {x.dtype}")
            raise
        if not isinstance(stream, Stream):
            raise mistaken(self, stream, f"a Stream ({len(x)}, N, {self.dim})")
        if stream.tokens.shape[0] != x.shape[0] or stream.tokens.shape[2] != self.dim:
            raise mistaken(self, stream, f"a Stream ({len(x)}, N, {self.dim})")
        return stream

    def pool(self, stream: Stream) -> Tensor:
        """The vectors (B, D) of a stream of this encoder, pooled before or not."""
        return self.pooling(stream)


class TextEncoder(Encoder):
    """An encoder of texts whose words are known: what objectives that hide or guess words need.

    Attributes:
        causal: whether a token sees those before it alone; False where it sees all of them, None
            where it sees no other.
    """

    modality = "text"
    causal: ClassVar[bool | None] = None

    @property
    @abstractmethod
    def word_numbers(self) -> Sequence[int]:
        """The numbers that stand for words."""

    @property
    @abstractmethod
    def blank(self) -> int | None:
        """The number that stands for a word that is hidden; None if there is none."""

    @abstractmethod
    def read_pairs(
        self, first: Sequence[str], second: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        """Two texts each as one: numbers (B, L) int64, and their mask."""


class WordEncoder(TextEncoder):
    """An encoder of texts that reads the words of its task's vocabulary.

    The number of none, 0, is hidden words' and stands between two texts.

    Args:
        vocabulary: of the task.
    """

    def __init__(self, vocabulary: Words) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    @property
    def word_numbers(self) -> Sequence[int]:
        return range(UNKNOWN + 1, len(self._vocabulary))

    @property
    def blank(self) -> int | None:
        return 0

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        return padded(self._vocabulary.rows(map(str, values)))

    def read_pairs(
        self, first: Sequence[str], second: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        return padded(joined_rows(self._vocabulary, first, second))


def joined_rows(vocabulary: Words, first: Sequence[str], second: Sequence[str]) -> list[list[int]]:
    """The numbers of two texts each, with that of none between them."""
    pairs = zip(vocabulary.rows(first), vocabulary.rows(second), strict=True)
    return [[*one, 0, *other] for one, other in pairs]


def mask_of(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask (B, L) of an input (B, L, ...); all True where none is given."""
    return x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
