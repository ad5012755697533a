"""Batches of what belongs together, in which every distinct input is encoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mmbench.data.media import media_of
from mmbench.data.sample import Query, Sample

IntArray = npt.NDArray[np.int64]
T = TypeVar("T", bound=Hashable)


class GroupBatches:
    """Batches of samples that keep groups whole.

    Ten questions about one image fall into one batch, so that the image is encoded once for all.

    Args:
        samples: the samples.
        batch: groups in a batch.
        seed: of the shuffling; None keeps the dataset's order. The order of an epoch depends on
            the seed and the epoch's number alone, so that a run that was cut off goes on with
            the same batches.
    """

    def __init__(self, samples: Sequence[Sample], batch: int, seed: int | None = None) -> None:
        by_group: dict[str, list[int]] = {}
        for index, sample in enumerate(samples):
            by_group.setdefault(sample.group, []).append(index)
        self._samples = samples
        self._groups = list(by_group.values())
        self._batch = batch
        self._seed = seed

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def __len__(self) -> int:
        return -(-len(self._groups) // self._batch)

    def indices(self, epoch: int = 0, order: IntArray | None = None) -> Iterator[list[int]]:
        """The places in the samples of each batch of an epoch.

        Args:
            epoch: its number.
            order: (G,), the groups, by number in order of first appearance, as they are to come;
                shuffled by the seed if None.
        """
        if order is None:
            order = np.arange(len(self._groups))
            if self._seed is not None:
                order = np.random.default_rng([self._seed, epoch]).permutation(order)
        for start in range(0, len(order), self._batch):
            groups = (self._groups[g] for g in order[start : start + self._batch])
            yield [index for group in groups for index in group]

    def epoch(self, epoch: int = 0, order: IntArray | None = None) -> Iterator[list[Sample]]:
        """The batches of an epoch; see `indices`."""
        for indices in self.indices(epoch, order):
            yield [self._samples[i] for i in indices]


def query_batches(queries: Sequence[Query], batch: int) -> Iterator[list[int]]:
    """The places of queries, so many media a batch with all that is asked about each.

    Whoever answers knows no groups: what queries share is the medium that they are about. A query
    without one stands for itself.

    >>> list(query_batches([Query("a", {"text": "x"}), Query("b", {"text": "x"})], 1))
    [[0], [1]]
    """
    about: dict[Hashable, list[int]] = {}
    name, last = "", None  # of the query before, where that is a text about one medium
    same: list[int] = []
    for place, query in enumerate(queries):
        inputs = query.inputs
        one = len(inputs) == 2 and "text" in inputs
        if last is None or inputs.get(name) is not last or not one:
            # Few come here: most stand behind another one about the same.
            media = [medium for value in inputs.values() for medium in media_of(value)]
            key = tuple([(medium.set_digest, medium.row) for medium in media])
            same = about.setdefault(key or place, [])
            last = media[0] if one and len(media) == 1 else None
            name = next((n for n in inputs if n != "text"), "")
        same.append(place)
    places = list(about.values())
    for start in range(0, len(places), batch):
        yield [place for same in places[start : start + batch] for place in same]


def distinct_each(values: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    """As `distinct`, where a value may be a tuple of several: their places (B, K) then, -1 behind
    the last of those that have fewer; (B,) where each is one.

    >>> distinct_each([("a", "b"), ("b",)])
    (['a', 'b'], array([[ 0,  1],
           [ 1, -1]]))
    """
    if not any(issubclass(kind, tuple) for kind in set(map(type, values))):
        return distinct(values)
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    found, places = distinct([one for each in several for one in each])
    there = np.arange(max(map(len, several))) < np.array([[len(each)] for each in several])
    rows = np.full(there.shape, -1)
    rows[there] = places
    return found, rows


def distinct(values: Sequence[T]) -> tuple[list[T], np.ndarray]:
    """The distinct values in order of first appearance (M), and each value's place there (B,).

    >>> distinct(["a", "b", "a"])
    (['a', 'b'], array([0, 1, 0]))
    """
    if values and isinstance(values[0], str):
        places = {value: place for place, value in enumerate(dict.fromkeys(values))}
        return list(places), np.fromiter(map(places.__getitem__, values), np.int64, len(values))
    # Of media most are one object again and again, and an object is looked up sooner than a value.
    objects = dict(zip(map(id, values), values, strict=True))
    places = {}
    of_object = {key: places.setdefault(value, len(places)) for key, value in objects.items()}
    rows = np.fromiter(map(of_object.__getitem__, map(id, values)), np.int64, len(values))
    return list(places), rows
