"""Parts that the models of several tasks have in common: encoders by modality, and one fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch

from mmbench.errors import MMBenchError
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.stream import Contexts, State, Stream


class SharedFusion(Fusion):
    """A fusion that several models share, as one of them calls it: with the contexts that it has.

    The contexts that the others have besides are missing here, which every fusion can cope with.

    Args:
        of: the class of what is shared, which comes later (`share`).
        dim, contexts: as of that.
    Attributes:
        class_name: of what is shared.
    """

    def __init__(self, of: type[Fusion], dim: int, contexts: Sequence[str]) -> None:
        super().__init__(dim, contexts)
        for name in ("query_form", "context_form", "causal", "auxiliary"):
            setattr(self, name, getattr(of, name))
        self.class_name = of.__name__

    def share(self, shared: Fusion) -> None:
        """Fuse by this fusion, whose contexts are those of all models."""
        self.shared = shared
        self._places = [shared.contexts.index(name) for name in self.contexts]

    def forward(self, query: Stream, contexts: Contexts, *, causal: bool = False) -> Fused:
        return self._own(self.shared(query, self._all(contexts), causal=causal))

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        return self.shared.begin(batch, device, self._all(contexts))

    def step(self, query: Stream, state: State, contexts: Contexts) -> tuple[Fused, State]:
        fused, state = self.shared.step(query, state, self._all(contexts))
        return self._own(fused), state

    def _all(self, contexts: Contexts) -> Contexts:
        """The contexts of all models, those that this one lacks as missing."""
        given: list[Stream | None] = [None] * len(self.shared.contexts)
        for place, context in zip(self._places, contexts, strict=True):
            given[place] = context
        return given

    def _own(self, fused: Fused) -> Fused:
        """With the shares of the modalities that this model has."""
        if fused.shares is None:
            return fused
        return replace(fused, shares=fused.shares[..., [0, *(1 + p for p in self._places)]])


class Sharing:
    """What models have in common that are built within `sharing`.

    Attributes:
        whose: the task whose model is being built, for an error.
        encoders: by modality.
        fusions: of all models, each as its model calls it.
    """

    def __init__(self) -> None:
        self.whose = ""
        self.encoders: dict[str, Encoder] = {}
        self.fusions: list[SharedFusion] = []
        self._asked: dict[str, tuple[str, Any]] = {}

    def encoder(self, modality: str, asked: Any, make: Callable[[], Encoder]) -> Encoder:
        """The encoder of a modality, made for the first model that asks for it.

        Args:
            asked: what decides it.
        Raises: MMBenchError if another model asked for another one.
        """
        whose, first = self._asked.setdefault(modality, (self.whose, asked))
        if first != asked:
            raise MMBenchError(
                f"{whose} and {self.whose} would share one encoder for {modality}, and ask for "
                f"different ones ({first[0]}; {asked[0]}): name it in the recipe "
                f"(encoders.{modality}), or give --dataset one dataset that all tasks have"
            )
        if modality not in self.encoders:
            self.encoders[modality] = make()
        return self.encoders[modality]

    def fusion(self, of: type[Fusion], dim: int, contexts: Sequence[str]) -> SharedFusion:
        """The shared fusion as one model calls it."""
        self.fusions.append(SharedFusion(of, dim, contexts))
        return self.fusions[-1]

    @property
    def contexts(self) -> list[str]:
        """The contexts of all fusions."""
        return sorted({name for fusion in self.fusions for name in fusion.contexts})


_NOW: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


def shared_now() -> Sharing | None:
    """What models that are being built have in common; None where one is built by itself."""
    return _NOW.get()


@contextmanager
def sharing() -> Iterator[Sharing]:
    """Within, models that are built share their encoders, and calls to one fusion."""
    token = _NOW.set(Sharing())
    try:
        found = _NOW.get()
        assert found is not None
        yield found
    finally:
        _NOW.reset(token)
