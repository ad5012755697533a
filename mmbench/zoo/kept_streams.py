"""Streams that are kept while what they are of is asked about again and again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.zoo.stream import Stream


class KeptStreams:
    """The streams of values that a model is asked about again and again.

    Args:
        values: each once.
        blocks: their streams (U_i, N_i, D), in order.
    """

    def __init__(self, values: Sequence[Any], blocks: Sequence[Stream]) -> None:
        self._row = {value: row for row, value in enumerate(values)}
        first = blocks[0].tokens
        longest = max(block.tokens.shape[1] for block in blocks)
        self._tokens = first.new_zeros(len(values), longest, first.shape[2])
        self._mask = first.new_zeros(len(values), longest, dtype=torch.bool)
        start = 0
        for block in blocks:
            rows, length = slice(start, start + len(block.mask)), block.mask.shape[1]
            self._tokens[rows, :length], self._mask[rows, :length] = block.tokens, block.mask
            start = rows.stop

    def holds(self, values: Iterable[Any]) -> bool:
        """Whether the streams of all these are kept."""
        return all(value in self._row for value in values)

    def of(self, values: Sequence[Any]) -> Stream:
        """The streams of values that are kept, (U, N, D), as long as the longest of them."""
        rows = torch.tensor([self._row[value] for value in values], device=self._mask.device)
        mask = self._mask[rows]
        length = _length(mask)
        return Stream(self._tokens[rows, :length], mask[:, :length])


def _length(mask: Tensor) -> int:
    """How many of the positions (U, N) any row needs; one at least."""
    there = mask.any(0).nonzero()
    return int(there[-1]) + 1 if len(there) else 1
