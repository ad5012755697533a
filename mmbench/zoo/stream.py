"""The stream: what flows between encoders, fusions and decoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """Token vectors of one modality and which of them are there.

    Attributes:
        tokens: (B, N, D) float. What stands at masked positions is never read.
        mask: (B, N) bool, True where there is a token. A row without any is a missing modality.
        parts: K, of how many things they are, such as images, N / K tokens each, one after the
            other. Most of what reads streams makes no difference between them.
    """

    tokens: Tensor
    mask: Tensor
    parts: int = 1

    @classmethod
    def whole(cls, tokens: Tensor) -> Stream:
        """A stream (B, N, D) whose tokens are all there."""
        return cls(tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool))

    def __post_init__(self) -> None:
        if self.tokens.ndim != 3 or self.mask.shape != self.tokens.shape[:2]:
            raise ValueError(
                f"a stream has tokens (B, N, D) and mask (B, N), got {tuple(self.tokens.shape)} "
                f"and {tuple(self.mask.shape)}"
            )
        if self.parts < 1 or self.tokens.shape[1] % self.parts:
            raise ValueError(f"{self.tokens.shape[1]} tokens are not of {self.parts} equal parts")

    @property
    def present(self) -> Tensor:
        """(B,) bool: which samples have this modality at all."""
        return self.mask.any(dim=1)

    def clean(self) -> Tensor:
        """The tokens with zeros where there is none, (B, N, D): safe to compute with."""
        return self.tokens.masked_fill(~self.mask[..., None], 0)

    def pool(self) -> Tensor:
        """The mean of the tokens that are there, (B, D); zeros where there is none."""
        count = self.mask.sum(dim=1, keepdim=True).clamp(min=1)
        return self.clean().sum(dim=1) / count

    def take(self, rows: Tensor) -> Stream:
        """The streams of the given rows (B',), repeated as often as they are named."""
        tokens, mask = self.tokens.index_select(0, rows), self.mask.index_select(0, rows)
        return Stream(tokens, mask, self.parts)

    def where(self, there: Tensor) -> Stream:
        """The stream without the tokens for which `there`, which broadcasts to (B, N), is False."""
        return Stream(self.tokens, self.mask & there, self.parts)

    def beside(self, there: Tensor) -> Stream:
        """Every K rows side by side as the parts of one, (B * K, N, D) -> (B, K * N, D).

        Args:
            there: (B, K) bool; the tokens of rows for which it is False are masked.
        """
        one = self.where(there.flatten()[:, None])
        tokens, mask = (x.unflatten(0, there.shape).flatten(1, 2) for x in (one.tokens, one.mask))
        return Stream(tokens, mask, there.shape[1])

    def apart(self) -> Stream:
        """Each part as a row of its own, (B, K * N, D) -> (B * K, N, D)."""
        tokens, mask = (
            x.unflatten(1, (self.parts, -1)).flatten(0, 1) for x in (self.tokens, self.mask)
        )
        return Stream(tokens, mask)


Contexts = Sequence[Stream | None]
"""The streams beside the query, (B, N_i, D) each; None for one that is missing for all samples."""
State = list[Tensor]
"""What is kept from step to step: tensors (B, ...), so that beams can be reordered."""
