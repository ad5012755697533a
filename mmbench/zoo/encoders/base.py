"""The `Encoder` contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmbench.zoo.stream import Stream


class Encoder(nn.Module, ABC):
    """One modality -> a stream of token vectors.

    Attributes:
        modality: what it reads: "image" takes uint8 pixels (B, 3, H, W); "video" (B, T, 3, H, W)
            uint8; "audio" (B, S) int16; "text" token numbers (B, L) int64, in which 0 is padding.
        dim: the width D of its stream.
    """

    modality: ClassVar[str]
    dim: int

    @abstractmethod
    def forward(self, x: Tensor) -> Stream:
        """The stream (B, N, D) of a batch. A sample's tokens do not depend on the others'."""

    def tokenize(self, texts: Sequence[str]) -> Tensor | None:
        """Token numbers (B, L) int64 of texts, of an encoder that has words of its own.

        None of one that reads the numbers of its task's vocabulary.
        """
        return None
