"""The `Encoder` contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.zoo.pooling import MeanPooling, Pooling
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import Words, padded


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
                video, (S,) int16 of a sound; or texts.
        Returns: (B, 3, H, W) uint8 images, (B, T, 3, H, W) uint8 videos, (B, S) int16 sounds, or
            (B, L) int64 numbers of words; and a mask (B, L) bool, None where all is there.
        """
        arrays = torch.from_numpy(np.stack([value.array() for value in values]))
        return (arrays.movedim(-1, -3) if arrays.ndim > 2 else arrays), None

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        """The stream (B, N, D) of a batch. A sample's tokens do not depend on the others'.

        Args:
            x, mask: as `read` gives them.
        """

    def pool(self, stream: Stream) -> Tensor:
        """The vectors (B, D) of a stream of this encoder, pooled before or not."""
        return self.pooling(stream)


class WordEncoder(Encoder):
    """An encoder of texts that reads the words of its task's vocabulary.

    Args:
        vocabulary: of the task.
    """

    modality = "text"

    def __init__(self, vocabulary: Words) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        return padded(self._vocabulary.rows(map(str, values)))


def mask_of(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask (B, L) of an input (B, L, ...); all True where none is given."""
    return x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
