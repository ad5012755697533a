"""Which gallery items are right for each query, by position or by id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.metrics.base import IntArray


@dataclass(frozen=True)
class Positives:
    """The right gallery items of each query, query after query.

    Attributes:
        items: (P,) positions in the gallery.
        offsets: (Q + 1,); query q's items are items[offsets[q]:offsets[q + 1]].
        absent: (Q,), how many more right items each query has that the gallery lacks.
        gallery: G, how many items the gallery holds.
    """

    items: IntArray
    offsets: IntArray
    absent: IntArray
    gallery: int

    @classmethod
    def of(
        cls,
        items: Sequence[Sequence[int] | IntArray],
        gallery: int,
        absent: Sequence[int] | IntArray | None = None,
    ) -> Positives:
        """The positives of Q queries from one list of gallery positions each.

        Args:
            items: of each query; none where all of its right items are absent.
            gallery: how many items there are.
            absent: how many more right items each query has that the gallery lacks; none.
        Raises: MMBenchError for a query without a right item, a position outside the gallery, or
            one that a query names twice.
        """
        if not len(items):
            raise MMBenchError("retrieval needs at least one query, got none")
        lengths = np.array([len(i) for i in items])
        lacking = np.zeros(len(items), np.int64) if absent is None else np.asarray(absent)
        empty = np.flatnonzero(lengths + lacking == 0)
        if len(empty):
            raise MMBenchError(
                f"{len(empty)} of {len(items)} queries have no right item in the gallery "
                f"(queries {first_five(empty)}): leave them out"
            )
        flat = np.concatenate([np.asarray(i, None if len(i) else np.int64) for i in items])
        if flat.dtype.kind not in "iu":
            raise MMBenchError(f"right items must be whole gallery positions, got {flat.dtype}")
        flat = flat.astype(np.int64)
        query = np.repeat(np.arange(len(items)), lengths)
        outside = np.flatnonzero((flat < 0) | (flat >= gallery))
        if len(outside):
            raise MMBenchError(
                f"{len(outside)} right items are outside the gallery, whose positions are "
                f"0..{gallery - 1} (query {query[outside[0]]} names {flat[outside[0]]})"
            )
        keys = np.sort(query * gallery + flat)
        twice = keys[1:][keys[1:] == keys[:-1]]
        if len(twice):
            raise MMBenchError(
                f"{len(twice)} right items are named twice by their query (query "
                f"{twice[0] // gallery} names {twice[0] % gallery}): name each once"
            )
        return cls(
            items=flat,
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            absent=lacking,
            gallery=gallery,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def queries(self) -> IntArray:
        """(P,), the query of each item."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def matching_positives(queries: Sequence[Hashable], gallery: Sequence[Hashable]) -> Positives:
    """The right items of a query are those of the same id, such as the image of each caption.

    Args:
        queries: an id per query: the image's own, or the id of the image that a caption is of.
        gallery: an id per gallery item, likewise.
    Raises: MMBenchError if a query matches nothing.

    >>> images, image_of_caption = ["cat", "dog"], ["cat", "cat", "dog"]
    >>> matching_positives(images, image_of_caption).items.tolist()
    [0, 1, 2]
    >>> matching_positives(image_of_caption, images).items.tolist()
    [0, 0, 1]
    """
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(gallery):
        places[key].append(place)
    without = list(dict.fromkeys(key for key in queries if key not in places))
    if without:
        raise MMBenchError(
            f"{len(without)} of the queries' ids match nothing in the gallery "
            f"({first_five(without)}): leave them out, or add their items"
        )
    return Positives.of([places[key] for key in queries], len(gallery))


def positives_by_id(
    right: Mapping[int, Sequence[int]],
    queries: Sequence[int],
    gallery: Sequence[int],
    allow_absent: bool = False,
) -> Positives:
    """The right items of queries that are known by id, for items that are known by id.

    Args:
        right: the ids of each query's right items, by the id of the query.
        queries: the ids of the Q queries, in the order of their scores or embeddings.
        gallery: the ids of the G items, likewise.
        allow_absent: count right items that the gallery lacks as never retrieved, as eccv_caption
            does: two of ECCV Caption's are not among COCO's 25,000 test captions.
    Raises: MMBenchError for ids that are missing, unknown or given twice.

    >>> positives = positives_by_id({7: [30, 10], 8: [20]}, [8, 7], [10, 20, 30])
    >>> positives.items.tolist(), positives.offsets.tolist()
    ([1, 2, 0], [0, 1, 3])
    """
    for name, ids in (("query", queries), ("gallery", gallery)):
        twice = [key for key, times in Counter(ids).items() if times > 1]
        if twice:
            raise MMBenchError(f"{len(twice)} {name} ids are given twice ({first_five(twice)})")
    missing = [query for query in queries if query not in right]
    if missing:
        raise MMBenchError(
            f"no right items are given for {len(missing)} queries ({first_five(missing)}): "
            f"leave them out"
        )
    place = {item: number for number, item in enumerate(gallery)}
    unknown = list(dict.fromkeys(i for query in queries for i in right[query] if i not in place))
    if unknown and not allow_absent:
        raise MMBenchError(
            f"{len(unknown)} right items are not in the gallery ({first_five(unknown)}): add them, "
            f"or allow absent ones, which count as never retrieved"
        )
    items = [[place[item] for item in right[query] if item in place] for query in queries]
    absent = [len(right[query]) - len(found) for query, found in zip(queries, items, strict=True)]
    return Positives.of(items, len(gallery), absent)


def first_five(values: Sequence[Any] | IntArray) -> str:
    """The first five of the values, for a message.

    >>> first_five([3, 1, 4, 1, 5, 9])
    '3, 1, 4, 1, 5, ...'
    """
    return ", ".join(str(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")
