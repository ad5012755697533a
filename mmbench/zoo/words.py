"""What parts that are trained from nothing know of words: the vocabulary of their task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

UNKNOWN = 1  # the number of any word that a vocabulary lacks; 0 is the number of none
IMAGE_PLACE = "□"  # the word that stands in a text where an image does


class Words(Protocol):
    """Words <-> numbers from 2 on. `mmbench.data.words.Vocabulary` is one."""

    def __len__(self) -> int:
        """How many numbers there are."""

    def rows(self, texts: Iterable[str]) -> list[list[int]]:
        """The numbers of each text's words; never none."""

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of these numbers."""


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Numbers (B, L) int64, zeros behind each row's last, and which of them are there (B, L)."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    numbers = np.zeros(mask.shape, np.int64)
    numbers[mask] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return torch.from_numpy(numbers), torch.from_numpy(mask)
