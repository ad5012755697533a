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

    The contexts are pooled, and what a subclass makes of them broadcasts along the query's
    positions, so that it is causal by construction. A subclass implements `fuse`.
    """

    def forward(
        self, query: Stream, contexts: Sequence[Stream | None], *, causal: bool = False
    ) -> Stream:
        """See `Fusion.forward`."""
        if len(contexts) != self.contexts:
            raise ValueError(f"built for {self.contexts} contexts, got {len(contexts)}")
        # A masked query position may hold anything, even NaN, which would spoil the gradients.
        vectors = [query.tokens.masked_fill(~query.mask[..., None], 0)]
        present = [query.mask]
        for context in contexts:
            if context is None:
                vectors.append(torch.zeros_like(query.tokens[:, :1]))
                present.append(torch.zeros_like(query.mask[:, :1]))
            else:
                vectors.append(context.pool()[:, None])
                present.append(context.present[:, None])
        return Stream(self.fuse(vectors, present), query.mask)

    @abstractmethod
    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """Fuse one vector per modality.

        Args:
            vectors: (B, T, D) of the query, then (B, 1, D) of each context; zeros where missing.
            present: (B, T), then (B, 1) of each context, bool: which of them are there; the query
                is not at its masked positions.
        Returns: (B, T, D), without NaN even where no modality is present.
        """


def linear_of_joined(layer: nn.Linear, vectors: Sequence[Tensor]) -> Tensor:
    """layer([x_1; ...; x_n]), where the vectors broadcast against each other.

    They are not joined: a context is multiplied once, not again at each position of the query.
    """
    sizes = [x.shape[-1] for x in vectors]
    parts = [x @ w.T for x, w in zip(vectors, layer.weight.split(sizes, dim=1), strict=True)]
    total = sum(parts[1:], parts[0])
    return total if layer.bias is None else total + layer.bias


def masked_softmax(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Softmax over the entries whose mask is True; the others, and rows of others only, are 0."""
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(~mask, lowest), dim) * mask


def weighted_sum(weights: Sequence[Tensor], vectors: Sequence[Tensor]) -> Tensor:
    """sum_i w_i x_i, where weights and vectors broadcast against each other."""
    terms = [weight * x for weight, x in zip(weights, vectors, strict=True)]
    return torch.stack(terms).sum(0)
