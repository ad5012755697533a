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
    """

    tokens: Tensor
    mask: Tensor

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
        return Stream(self.tokens.index_select(0, rows), self.mask.index_select(0, rows))


Contexts = Sequence[Stream | None]
"""The streams beside the query, (B, N_i, D) each; None for one that is missing for all samples."""
State = list[Tensor]
"""What is kept from step to step: tensors (B, ...), so that beams can be reordered."""
