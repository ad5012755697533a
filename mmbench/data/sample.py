"""Queries: what a model is asked. Samples: queries with the right answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload


@dataclass(frozen=True, slots=True)
class Query:
    """What a model is asked: all that a predictor ever sees of a sample.

    Attributes:
        id: unique in its split.
        inputs: by modality ("image": a `MediaRef`, or a tuple of several; "text": a string).
    """

    id: str
    inputs: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """A number of its own, below 2**48, by its id: a seed of what is drawn for it."""
        return stable_number(self.id)


@dataclass(frozen=True, slots=True)
class Sample(Query):
    """A query and its right answer.

    Attributes:
        target: the right answer; what it is depends on the task.
        group: what it shares with other samples, for example its image. Batches of training are
            drawn by group, validation is held out by group, and intervals redraw groups.
        category: the kind of sample that scores are broken down by; None where there is none.
    """

    target: Any
    group: str
    category: str | None = None

    @property
    def query(self) -> Query:
        """What of it a model may see."""
        return Query(self.id, self.inputs)


def stable_number(text: str) -> int:
    """A number below 2**48 that is the text's on every machine.

    >>> stable_number("test/0") == stable_number("test/0") != stable_number("test/1")
    True
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


@dataclass(frozen=True)
class SampleSet(Sequence[Sample]):
    """The samples of a split, in the dataset's order.

    Attributes:
        samples: the samples.
        dataset, split: where they are from.
        fingerprint: a hash of the content of the whole split, whatever the limit.
        limit: how many samples (or groups of them) were asked for; None for all.
        skipped: why samples were left out, one line each.
        options: what the dataset's YAML sets for its task.
    """

    samples: Sequence[Sample]
    dataset: str
    split: str
    fingerprint: str
    limit: int | None = None
    skipped: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self.samples[index]

    @property
    def queries(self) -> list[Query]:
        """What of the samples a model may see, in their order."""
        return [sample.query for sample in self.samples]

    def limited(self, limit: int | None, groups: bool = False) -> SampleSet:
        """The first `limit` samples, or groups of samples, under the same fingerprint."""
        if limit is None:
            return self
        chosen = self.samples[:limit]
        if groups:
            kept = set(list(dict.fromkeys(sample.group for sample in self.samples))[:limit])
            chosen = [sample for sample in self.samples if sample.group in kept]
        return self if len(chosen) == len(self) else replace(self, samples=chosen, limit=limit)
