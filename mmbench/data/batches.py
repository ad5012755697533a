"""Batches by group, in which every distinct input is encoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from mmbench.data.sample import Sample

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
        neighbours: how many groups that follow each other in the samples stay together; it
            divides `batch`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        batch: int,
        seed: int | None = None,
        neighbours: int = 1,
    ) -> None:
        by_group: dict[str, list[int]] = {}
        for index, sample in enumerate(samples):
            by_group.setdefault(sample.group, []).append(index)
        self._samples = samples
        self._groups = list(by_group.values())
        self._batch = batch
        self._seed = seed
        self._neighbours = neighbours

    def __len__(self) -> int:
        return -(-len(self._groups) // self._batch)

    def indices(self, epoch: int = 0) -> Iterator[list[int]]:
        """The places in the samples of each batch of an epoch."""
        firsts = np.arange(0, len(self._groups), self._neighbours)
        if self._seed is not None:
            firsts = np.random.default_rng([self._seed, epoch]).permutation(firsts)
        together = self._batch // self._neighbours
        for start in range(0, len(firsts), together):
            runs = (
                self._groups[g : g + self._neighbours] for g in firsts[start : start + together]
            )
            yield [index for groups in runs for group in groups for index in group]

    def epoch(self, epoch: int = 0) -> Iterator[list[Sample]]:
        """The batches of an epoch."""
        for indices in self.indices(epoch):
            yield [self._samples[i] for i in indices]


def distinct(values: Sequence[T]) -> tuple[list[T], np.ndarray]:
    """The distinct values in order of first appearance (M), and each value's place there (B,).

    >>> distinct(["a", "b", "a"])
    (['a', 'b'], array([0, 1, 0]))
    """
    places: dict[T, int] = {}
    rows = [places.setdefault(value, len(places)) for value in values]
    return list(places), np.asarray(rows)
