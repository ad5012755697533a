"""The `Fusion` contract: one signature for every task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.given import mistaken, tell_failure
from mmbench.zoo.stream import Contexts, State, Stream

Form = Literal["pooled", "tokens"]
QUERY = "query"  # what a fusion calls the modality that asks


@dataclass(frozen=True)
class Fused:
    """What a fusion gives.

    Attributes:
        stream: (B, T, D), on the query's positions and with its mask.
        losses: auxiliary losses by name, scalars; a recipe weighs them (`losses`).
        shares: (B, T, M) float, how much the query and each context counted, where that is defined.
    """

    stream: Stream
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    shares: Tensor | None = None


class Fusion(nn.Module, ABC):
    """A query stream and its context streams -> a fused stream on the query's positions.

    Fusion always happens at the query's positions: for VQA these are the question (pooled, or
    its tokens), for captioning the text decoder's states, for generation the image decoder's.

    Every fusion, built-in or registered by another package, must keep this contract
    (`mmbench check fusion NAME` checks it, as tests do for all that the registry finds):

    - a context may be None, or its mask all False for some samples: a missing modality takes no
      part, and nothing becomes NaN, even where all are missing;
    - what stands at masked positions of any stream changes nothing at unmasked ones;
    - with a pooled query each of its positions is fused by itself;
    - of one that is `causal`, with `causal=True` no output position depends on a later query
      position, by way of the contexts neither, and `step`, given one position after the other,
      gives what `forward` gives;
    - every trainable tensor is a registered parameter, and the same input gives the same output.

    Args:
        dim: width D of every stream.
        contexts: the names of the context modalities, in the order of their streams.

    Attributes:
        query_form: what it reads of the query: "pooled" a vector at each position by itself (VQA
            hands it the pooled question), "tokens" the sequence (the question's words).
        context_form: what it reads of each context: "pooled" one vector, "tokens" all of them.
        causal: whether it can stand in a decoder that writes from left to right.
        auxiliary: names of the losses that it gives in training.
        most_contexts: the most contexts that it is defined for; None for any number.
        family: what kind of fusion it is, a word or two: "concatenation", "gating", "bilinear".
        cost: formulas of what it costs; None where nobody has written them down.
    """

    query_form: ClassVar[Form]
    context_form: ClassVar[Form]
    causal: ClassVar[bool]
    auxiliary: ClassVar[tuple[str, ...]] = ()
    most_contexts: ClassVar[int | None] = None
    family: ClassVar[str] = ""
    cost: ClassVar[Cost | None] = None

    def __init__(self, dim: int, contexts: Sequence[str]) -> None:
        super().__init__()
        self.dim = dim
        self.contexts = tuple(contexts)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names that `Fused.shares` are of: the query, then the contexts."""
        return (QUERY, *self.contexts)

    @abstractmethod
    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        """Fuse.

        Args:
            query: (B, T, D).
            contexts: as many as the fusion is built for, each (B, N_i, D) or None.
            causal: whether the query's positions are steps of a sequence made left to right.
        """

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """The state before the first position of a sequence; empty if positions stand alone."""
        return []

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        """One more position of a sequence, as `forward` with `causal=True` fuses it.

        A fusion whose positions look at each other must write its own; see `MergedAttention`.

        Args:
            query: (B, 1, D).
            state: what the last step, or `begin`, gave; its rows may have been reordered.
            contexts: those of `begin`.
        """
        return self(query, contexts, causal=True), state

    def __call__(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        """`forward`, checked.

        Raises: ValueError for a wrong number of contexts; MMBenchError naming the fusion if it
            gives anything but a `Fused` with a stream on the query's positions, or if one of
            another package fails.
        """
        if len(contexts) != len(self.contexts):
            raise ValueError(f"built for {len(self.contexts)} contexts, got {len(contexts)}")
        try:
            fused = super().__call__(query, contexts, causal=causal)
        except Exception as error:
            given = (None if c is None else tuple(c.tokens.shape) for c in contexts)
            asked = f"a query {tuple(query.tokens.shape)} and contexts"
            tell_failure(self, error, f"{asked} {', '.join(map(str, given))}")
            raise
        due = query.tokens.shape
        if not isinstance(fused, Fused):
            raise mistaken(self, fused, f"Fused(stream), its stream {tuple(due)},")
        stream = fused.stream
        if not isinstance(stream, Stream) or stream.tokens.shape != due:
            raise mistaken(self, fused, f"a Stream {tuple(due)}, on the query's positions,")
        return fused


class PooledFusion(Fusion):
    """A fusion of one vector per modality, at each position of the query.

    The contexts are pooled, and what a subclass makes of them broadcasts along the query's
    positions, so that it is causal by construction. A subclass implements `fuse`.
    """

    query_form = "pooled"
    context_form = "pooled"
    causal = True

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        # A masked query position may hold anything, even NaN, which would spoil the gradients.
        vectors = [query.clean()]
        present = [query.mask]
        for context in contexts:
            if context is None:
                vectors.append(torch.zeros_like(query.tokens[:, :1]))
                present.append(torch.zeros_like(query.mask[:, :1]))
            else:
                vectors.append(context.pool()[:, None])
                present.append(context.present[:, None])
        return self.fuse(vectors, present)

    @abstractmethod
    def fuse(self, vectors: Sequence[Tensor], present: Sequence[Tensor]) -> Fused:
        """Fuse one vector per modality.

        Args:
            vectors: (B, T, D) of the query, then (B, 1, D) of each context; zeros where missing.
            present: (B, T), then (B, 1) of each context, bool: which of them are there; the query
                is not at its masked positions, and the first is the mask of what is returned.
        Returns: a stream (B, T, D), without NaN even where no modality is present.
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
