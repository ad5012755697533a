"""`statistics.npz`: what a record keeps per sample, from which every later number comes.

Of every metric the statistics (N, k) in the smallest type that loses nothing; the samples' groups
and categories; of metrics that are costly to resample, their bootstrap replicates; and where some
samples were not answered, which were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError
from mmbench.records.arrays_file import packed, unpacked
from mmbench.statistics.bootstrap import FloatArray, IntArray, group_codes

_TYPES = (np.uint8, np.int8, np.int16, np.int32, np.float16, np.float32)
_STATISTICS = "statistics/"
_REPLICATES = "replicates/"
_ANSWERED = "answered"

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Statistics:
    """What a record keeps per sample.

    Attributes:
        by_metric: (N, k) of the N samples that were answered, by the metric's name; metrics of sets
            of images have a row for each image of the larger set.
        groups: (N,), the number of each sample's group, in order of first appearance among all that
            were asked.
        categories: (N,), the place of each sample's category in `category_names`; -1 for none.
        category_names: sorted.
        replicates: (R,) of the value over all these samples, by metric, where they are kept.
        samples: a digest of the ids and groups of all that were asked, in order: only statistics of
            equal ones can be paired.
        answered: (A,), which of the A samples that were asked these N are; None for all.
    """

    by_metric: Mapping[str, FloatArray]
    groups: IntArray
    categories: IntArray
    category_names: Sequence[str]
    samples: str
    replicates: Mapping[str, FloatArray] = field(default_factory=dict)
    answered: BoolArray | None = None

    def restricted_to(self, common: BoolArray | None) -> Statistics:
        """Those of some of the samples that were answered.

        Replicates and metrics that are not of single samples are left out where samples are.

        Args:
            common: (A,), which; None for all.
        """
        if common is None or (self.answered is not None and (common == self.answered).all()):
            return self
        kept = common if self.answered is None else common[self.answered]
        return replace(
            self,
            by_metric={n: v[kept] for n, v in self.by_metric.items() if len(v) == len(kept)},
            groups=self.groups[kept],
            categories=self.categories[kept],
            replicates={},
            answered=common,
        )

    def by_place(self, values: FloatArray) -> FloatArray:
        """Values (N, ...) of the answered samples as (A, ...) of all, NaN where none was given."""
        if self.answered is None or len(values) != len(self.groups):
            return values
        spread = np.full((len(self.answered), *values.shape[1:]), np.nan)
        spread[self.answered] = values
        return spread

    def of_category(self, name: str | None) -> BoolArray:
        """(N,), which samples are of a category; all of None."""
        if name is None:
            return np.ones(len(self.groups), np.bool_)
        if name not in self.category_names:
            return np.zeros(len(self.groups), np.bool_)
        chosen: BoolArray = self.categories == list(self.category_names).index(name)
        return chosen

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors: dict[str, npt.NDArray[np.generic]] = {
            "groups": smallest(self.groups),
            "categories": smallest(self.categories),
        }
        if self.answered is not None:
            tensors[_ANSWERED] = self.answered
        same: dict[bytes, str] = {}  # metrics of the same features keep them once
        shared = {}
        for name, values in self.by_metric.items():
            compact = smallest(values)
            key = hashlib.sha256(repr(compact.shape).encode() + compact.tobytes()).digest()
            if key in same:
                shared[name] = same[key]
            else:
                same[key] = name
                tensors[_STATISTICS + name] = compact
        tensors |= {_REPLICATES + name: values for name, values in self.replicates.items()}
        about = {
            "samples": self.samples,
            "category_names": list(self.category_names),
            "order": list(self.by_metric),
            "shared": shared,
        }
        return packed(tensors, about)


def statistics_of(
    by_metric: Mapping[str, FloatArray],
    ids: Sequence[str],
    groups: Sequence[str],
    categories: Sequence[str | None],
    replicates: Mapping[str, FloatArray],
    answered: BoolArray | None = None,
) -> Statistics:
    """Those of samples with these ids, groups and categories, (A,) each.

    Args:
        answered: (A,), which of them have statistics; None for all.
    """
    names = sorted({category for category in categories if category is not None})
    place = {name: number for number, name in enumerate(names)}
    of_category = np.array([-1 if c is None else place[c] for c in categories], np.int64)
    chosen = slice(None) if answered is None else answered
    return Statistics(
        by_metric=by_metric,
        groups=group_codes(groups)[0][chosen],
        categories=of_category[chosen],
        category_names=names,
        samples=samples_digest(ids, groups),
        replicates=replicates,
        answered=answered,
    )


def answered_by_all(kept: Iterable[Statistics]) -> BoolArray | None:
    """(A,), which samples several runs of the same samples all answered; None for all."""
    common: BoolArray | None = None
    for each in kept:
        if each.answered is not None:
            common = each.answered if common is None else common & each.answered
    return common


def samples_digest(ids: Sequence[str], groups: Sequence[str]) -> str:
    """SHA-256 of the samples' ids and groups, in order."""
    text = json.dumps([list(ids), list(groups)], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def smallest(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The values in the smallest type that gives each of them back exactly.

    >>> smallest(np.array([0.0, 1.0])).dtype, smallest(np.array([0.5])).dtype
    (dtype('uint8'), dtype('float16'))
    >>> smallest(np.array([0.1])).dtype
    dtype('float64')
    """
    for kind in _TYPES:
        with np.errstate(invalid="ignore", over="ignore"):
            small = values.astype(kind)
        if np.array_equal(small.astype(values.dtype), values, equal_nan=values.dtype.kind == "f"):
            return small
    return values


def read_statistics(path: Path) -> Statistics:
    """What a file holds.

    Raises: MMBenchError if it cannot be read.
    """
    try:
        tensors, about = unpacked(path)
        stored = {
            name.removeprefix(_STATISTICS): tensor.astype(np.float64)
            for name, tensor in tensors.items()
            if name.startswith(_STATISTICS)
        }
        return Statistics(
            by_metric={n: stored[about["shared"].get(n, n)] for n in about["order"]},
            groups=tensors["groups"].astype(np.int64),
            categories=tensors["categories"].astype(np.int64),
            category_names=about["category_names"],
            samples=about["samples"],
            replicates={
                name.removeprefix(_REPLICATES): tensor
                for name, tensor in tensors.items()
                if name.startswith(_REPLICATES)
            },
            answered=tensors.get(_ANSWERED),
        )
    except (MMBenchError, LookupError, TypeError, ValueError) as error:
        raise MMBenchError(f"{path} cannot be read as a record's statistics: {error}") from None
