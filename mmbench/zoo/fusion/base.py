"""The `Fusion` contract: one signature for every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbench.zoo.stream import Stream


class Fusion(nn.Module, ABC):
    """A query stream and its context streams -> a fused stream on the query's positions.

    Fusion always happens at the query's positions: for VQA these are the question (pooled, or
    its tokens), for captioning the text decoder's states, for generation the image decoder's.

    Every fusion, built-in or registered by another package, must keep this contract
    (`tests/zoo/test_fusion_contract.py` checks it for all that the registry finds):

    - a context may be None, or its mask all False for some samples: a missing modality takes no
      part, and nothing becomes NaN;
    - what stands at masked positions of any stream changes nothing at unmasked ones;
    - with `causal=True` no output position depends on a later query position;
    - every trainable tensor is a registered parameter.

    Args:
        dim: width D of every stream.
        contexts: how many context streams it is built for.
    """

    def __init__(self, dim: int, contexts: int) -> None:
        super().__init__()
        self.dim = dim
        self.contexts = contexts

    @abstractmethod
    def forward(
        self, query: Stream, contexts: Sequence[Stream | None], *, causal: bool = False
    ) -> Stream:
        """Fuse.

        Args:
            query: (B, T, D).
            contexts: as many as the fusion is built for, each (B, N_i, D) or None.
            causal: whether the query's positions are steps of a sequence made left to right.
        Returns: stream (B, T, D) with the query's mask.
        """


class PooledFusion(Fusion):
    """A fusion of one vector per modality, at each position of the query.

    The contexts are pooled and repeated along the query's positions, so that it is causal by
    construction. A subclass implements `fuse`.
    """

    def forward(
        self, query: Stream, contexts: Sequence[Stream | None], *, causal: bool = False
    ) -> Stream:
        """See `Fusion.forward`."""
        if len(contexts) != self.contexts:
            raise ValueError(f"built for {self.contexts} contexts, got {len(contexts)}")
        shape = query.tokens.shape  # (B, T, D)
        # A masked query position may hold anything, even NaN, which would spoil the gradients.
        vectors = [query.tokens.masked_fill(~query.mask[..., None], 0)]
        present = [query.mask]
        for context in contexts:
            if context is None:
                vectors.append(query.tokens.new_zeros(shape))
                present.append(torch.zeros_like(query.mask))
            else:
                vectors.append(context.pool()[:, None].expand(shape))
                present.append(context.present[:, None].expand(shape[:2]))
        return Stream(self.fuse(torch.stack(vectors, 2), torch.stack(present, 2)), query.mask)

    @abstractmethod
    def fuse(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Fuse one vector per modality.

        Args:
            vectors: (B, T, M, D), the query's and the M - 1 contexts'; zeros where missing.
            present: (B, T, M) bool, which of them are there; the query is not at its masked
                positions.
        Returns: (B, T, D), without NaN even where no modality is present.
        """


def masked_softmax(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Softmax over the entries whose mask is True; the others, and rows of others only, are 0."""
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(~mask, lowest), dim) * mask
