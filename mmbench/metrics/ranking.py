"""Ranks by counting: where each right item stands in its query's list, without sorting the list.

The rank of a right item is one more than the number of items that its query scores at least as
high. Counting them needs one comparison per score, in tiles of the score matrix, so neither the
whole matrix nor a full sort is ever needed, and one product of embeddings serves both directions.

Ties count against the model: a right item stands behind every wrong item of the same score, so a
constant score ranks it last. Right items of one query take successive ranks among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, IntArray
from mmbench.metrics.positives import Positives, first_five

BoolArray = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
Ranks = list[IntArray]

ABSENT = 2**31 - 1  # the rank of a right item that the gallery lacks: it is never retrieved

_TILE_ROWS, _TILE_COLUMNS = 512, 32768  # 64 MB of float32 scores at a time
_SLAB = 240  # rows counted in one byte
_PAIRS = 512  # pairs whose scores are computed at a time, to stay in the cache


class ScoreMatrix:
    """A score matrix (rows, columns), higher is nearer; may be memory-mapped.

    Like `Embeddings`, it gives scores of distinct rows and columns; here every one is distinct.

    Attributes:
        shape: (R, C).
        row_ids, column_ids: (R,), (C,), the distinct row or column that each one is.
        row_copies, column_copies: how many rows or columns each distinct one stands for.
    Raises: MMBenchError if it is not a matrix of numbers, is empty, or holds NaN or infinity.
    """

    def __init__(self, scores: npt.ArrayLike) -> None:
        self._scores = _no_wider_than_float64(np.asanyarray(scores))
        _check_shape(self._scores, "scores")
        _check_finite(self._scores, "scores")
        self.shape = (self._scores.shape[0], self._scores.shape[1])
        self.row_ids, self.column_ids = (np.arange(n) for n in self.shape)
        self.row_copies, self.column_copies = (np.ones(n, np.int64) for n in self.shape)

    def of_pairs(self, rows: IntArray, columns: IntArray) -> Array:
        """The scores (P,) of pairs of rows and columns."""
        return np.asarray(self._scores[rows, columns])

    def tile(self, rows: slice, columns: slice, pairs: tuple[IntArray, IntArray, Array]) -> Array:
        """The scores of a tile: a view of the matrix."""
        return self._scores[rows, columns]


class Embeddings:
    """Scores as the cosine or dot product of row embeddings (R, D) and column embeddings (C, D).

    Computed in float64 if either side is, else in float32, one tile at a time. A matrix product
    may round one and the same pair differently at different places of a tile, so two things are
    done for ties to be ties: rows (and columns) with the same embedding are computed once and
    counted as often as they occur, and the score of a right pair is computed by itself, once, and
    put in its place of the tile.

    Raises: MMBenchError if a side is not a matrix of numbers, is empty, holds NaN or infinity, or
        (cosine) a zero vector, or (dot) values so large that products overflow.
    """

    def __init__(
        self, rows: npt.ArrayLike, columns: npt.ArrayLike, similarity: str = "cosine"
    ) -> None:
        if similarity not in ("cosine", "dot"):
            raise MMBenchError(f"similarity must be cosine or dot, got {similarity!r}")
        sides = [_no_wider_than_float64(np.asanyarray(side)) for side in (rows, columns)]
        for side, name in zip(sides, ("row embeddings", "column embeddings"), strict=True):
            _check_shape(side, name)
        if sides[0].shape[1] != sides[1].shape[1]:
            raise MMBenchError(
                f"row and column embeddings must have the same width, got shapes "
                f"{sides[0].shape} and {sides[1].shape}"
            )
        dtype = np.result_type(*sides, np.float32)
        self.shape = (len(sides[0]), len(sides[1]))
        self._rows, self.row_ids, self.row_copies = _distinct(sides[0].astype(dtype, copy=False))
        self._columns, self.column_ids, self.column_copies = _distinct(
            sides[1].astype(dtype, copy=False)
        )
        row_norms, column_norms = _norms(self._rows), _norms(self._columns)
        if not np.isfinite(row_norms).all() or not np.isfinite(column_norms).all():
            _check_finite(sides[0], "row embeddings")
            _check_finite(sides[1], "column embeddings")
        if similarity == "cosine":
            self._rows = _normalised(self._rows, row_norms, self.row_ids, "row")
            self._columns = _normalised(self._columns, column_norms, self.column_ids, "column")
        elif not row_norms.max() * column_norms.max() < np.finfo(dtype).max:
            raise MMBenchError(f"embeddings are so large that dot products overflow {dtype}")
        tile = min(len(self._rows), _TILE_ROWS) * min(len(self._columns), _TILE_COLUMNS)
        self._buffers = [np.empty(tile, dtype), np.empty(tile, dtype)]

    def of_pairs(self, rows: IntArray, columns: IntArray) -> Array:
        """The scores (P,) of pairs of distinct rows and columns."""
        scores = np.empty(len(rows), self._rows.dtype)
        for start in range(0, len(rows), _PAIRS):
            part = slice(start, start + _PAIRS)
            left, right = self._rows[rows[part]], self._columns[columns[part]]
            scores[part] = np.einsum("pd,pd->p", left, right)
        return scores

    def tile(self, rows: slice, columns: slice, pairs: tuple[IntArray, IntArray, Array]) -> Array:
        """The scores of a tile; they are overwritten by the call after next.

        Args:
            rows, columns: of the distinct rows and columns.
            pairs: rows and columns within the tile, and scores, of the pairs known already.
        """
        left, right = self._rows[rows], self._columns[columns]
        self._buffers.reverse()
        product = self._buffers[0][: len(left) * len(right)].reshape(len(left), len(right))
        np.matmul(left, right.T, out=product)
        product[pairs[0], pairs[1]] = pairs[2]
        return product


Scores = ScoreMatrix | Embeddings


def rank_positives(scores: Scores, positives: Positives) -> Ranks:
    """The ranks of each query's right items; the rows ask, the columns are the gallery.

    Args:
        scores: `ScoreMatrix` or `Embeddings` of Q rows and G columns.
        positives: the right items of the Q queries.
    Returns: for each query its right items' ranks, 1-based, ascending, int64; items that the
        gallery lacks have rank `ABSENT`.
    Raises: MMBenchError if the shapes differ.

    >>> scores = ScoreMatrix([[0.9, 0.1, 0.5], [0.3, 0.3, 0.3]])
    >>> [ranks.tolist() for ranks in rank_positives(scores, Positives.of([[0, 1], [2]], 3))]
    [[1, 3], [3]]
    """
    _check_fit(positives, scores.shape, "row")
    rows, columns = _pairs_of_rows(scores, positives)
    pairs, place = _unique_pairs(scores, rows, columns)
    values = scores.of_pairs(*pairs)
    counts, _ = _count(scores, pairs, values, by_column=False)
    return _ranks(counts[place], values[place], positives)


def rank_both(
    scores: Scores, row_positives: Positives, column_positives: Positives
) -> tuple[Ranks, Ranks]:
    """Ranks in both directions, from one pass over the scores.

    Args:
        scores: `ScoreMatrix` or `Embeddings` of R rows and C columns, e.g. images and captions.
        row_positives: the right columns of the R rows.
        column_positives: the right rows of the C columns.
    Returns: the ranks of the rows' queries and of the columns', each as `rank_positives` gives.
    Raises: MMBenchError if the shapes differ.

    >>> images, captions = [[1.0, 0.0], [0.0, 1.0]], [[0.8, 0.6], [0.9, 0.1], [0.0, 2.0]]
    >>> of_images, of_captions = Positives.of([[0, 1], [2]], 3), Positives.of([[0], [0], [1]], 2)
    >>> image_ranks, caption_ranks = rank_both(Embeddings(images, captions), of_images, of_captions)
    >>> [ranks.tolist() for ranks in image_ranks], [ranks.tolist() for ranks in caption_ranks]
    ([[1, 2], [1]], [[1], [1], [1]])
    """
    _check_fit(row_positives, scores.shape, "row")
    _check_fit(column_positives, scores.shape[::-1], "column")
    row_side = _pairs_of_rows(scores, row_positives)
    rows = np.concatenate([row_side[0], scores.row_ids[column_positives.items]])
    columns = np.concatenate([row_side[1], scores.column_ids[column_positives.queries]])
    pairs, place = _unique_pairs(scores, rows, columns)
    values = scores.of_pairs(*pairs)
    row_counts, column_counts = _count(scores, pairs, values, by_column=True)
    row_place, column_place = np.split(place, [len(row_side[0])])
    return (
        _ranks(row_counts[row_place], values[row_place], row_positives),
        _ranks(column_counts[column_place], values[column_place], column_positives),
    )


def _pairs_of_rows(scores: Scores, positives: Positives) -> tuple[IntArray, IntArray]:
    return scores.row_ids[positives.queries], scores.column_ids[positives.items]


def _unique_pairs(
    scores: Scores, rows: IntArray, columns: IntArray
) -> tuple[tuple[IntArray, IntArray], IntArray]:
    """The distinct pairs, by row then column, and where each pair given is among them."""
    width = len(scores.column_copies)
    keys, place = np.unique(rows * width + columns, return_inverse=True)
    return (keys // width, keys % width), place


def _count(
    scores: Scores, pairs: tuple[IntArray, IntArray], values: Array, by_column: bool
) -> tuple[IntArray, IntArray]:
    """For each pair, how many scores of its row, and of its column, are at least its own.

    The pair itself is one of them. Column counts are left at zero unless `by_column`.
    """
    rows, columns = pairs
    row_counts, column_counts = np.zeros((2, len(values)), np.int64)
    height, width = len(scores.row_copies), len(scores.column_copies)

    def add(tile: Array, down: slice, across: slice, levels: list[IntArray]) -> None:
        asked = _between(rows, down)
        row_counts[asked] += _at_least(
            tile, rows[asked] - down.start, values[asked], scores.column_copies[across]
        )
        for level in levels:
            column_counts[level] += _at_least_by_column(
                tile, columns[level] - across.start, values[level], scores.row_copies[down]
            )

    # Counting takes one core about a third of a product's time: it runs beside the next product.
    with ThreadPoolExecutor(max_workers=1) as worker:
        counting: Future[None] | None = None
        for left in range(0, width, _TILE_COLUMNS):
            across = slice(left, min(left + _TILE_COLUMNS, width))
            inside = np.flatnonzero((columns >= across.start) & (columns < across.stop))
            levels = list(_levels(columns, inside)) if by_column else []
            for top in range(0, height, _TILE_ROWS):
                down = slice(top, min(top + _TILE_ROWS, height))
                known = inside[_between(rows[inside], down)]
                local = (rows[known] - down.start, columns[known] - across.start, values[known])
                tile = scores.tile(down, across, local)
                if counting:
                    counting.result()
                counting = worker.submit(add, tile, down, across, levels)
        if counting:
            counting.result()
    return row_counts, column_counts


def _between(ascending: IntArray, bounds: slice) -> slice:
    """Where the values within the bounds are."""
    start, stop = np.searchsorted(ascending, (bounds.start, bounds.stop))
    return slice(int(start), int(stop))


def _levels(columns: IntArray, inside: IntArray) -> Iterator[IntArray]:
    """Split the pairs so that each column occurs at most once in a part, in ascending order."""
    order = inside[np.argsort(columns[inside], kind="stable")]
    _, starts, lengths = np.unique(columns[order], return_index=True, return_counts=True)
    for level in range(lengths.max(initial=0)):
        yield order[starts[lengths > level] + level]


def _at_least(tile: Array, rows: IntArray, values: Array, copies: IntArray) -> IntArray:
    """How many scores of row rows[p] are at least values[p]; each column counts `copies` times."""
    counts = np.empty(len(rows), np.int64)
    reached: BoolArray = np.empty(tile.shape[1], np.bool_)
    repeated = np.flatnonzero(copies > 1)
    more = copies[repeated] - 1
    for p, row in enumerate(rows.tolist()):
        np.greater_equal(tile[row], values[p], out=reached)
        counts[p] = np.count_nonzero(reached)
        if len(repeated):
            counts[p] += reached[repeated] @ more
    return counts


def _at_least_by_column(
    tile: Array, columns: IntArray, values: Array, copies: IntArray
) -> IntArray:
    """How many scores of column columns[p] are at least values[p]; rows count `copies` times."""
    counts = np.zeros(len(columns), np.int64)
    for top in range(0, len(tile), _SLAB):
        slab, times = tile[top : top + _SLAB], copies[top : top + _SLAB]
        if len(columns) < tile.shape[1]:
            slab = slab[:, columns]
        reached = np.greater_equal(slab, values)
        counts += np.add.reduce(reached.view(np.uint8), axis=0, dtype=np.uint8)
        repeated = np.flatnonzero(times > 1)
        if len(repeated):
            counts += (times[repeated] - 1) @ reached[repeated]
    return counts


def _ranks(counts: IntArray, values: Array, positives: Positives) -> Ranks:
    """From how many items score at least as high as each right one (all counted) to ranks.

    A right item's rank is the wrong items at least as high, plus its place among the right ones.
    """
    queries, ends = positives.queries, positives.offsets[1:]
    order = np.lexsort((values, queries))
    counts, values = counts[order], values[order]
    position = np.arange(len(order))
    place = ends[queries] - position  # among the right ones: 1 for the highest
    first = np.ones(len(order), np.bool_)  # of a run of equal scores within a query
    first[1:] = (values[1:] != values[:-1]) | (queries[1:] != queries[:-1])
    as_high = ends[queries] - np.maximum.accumulate(np.where(first, position, 0))
    flat = np.empty(len(order), np.int64)
    flat[positives.offsets[queries] + place - 1] = counts - as_high + place
    ranks = [flat[start:end] for start, end in pairwise(positives.offsets.tolist())]
    for query in np.flatnonzero(positives.absent).tolist():
        more = np.full(positives.absent[query], ABSENT, np.int64)
        ranks[query] = np.concatenate([ranks[query], more])
    return ranks


def _distinct(embeddings: Array) -> tuple[Array, IntArray, IntArray]:
    """The distinct embeddings (U, D), which of them each one is (N,), and their copies (U,)."""
    embeddings = np.ascontiguousarray(embeddings)
    # Equal rows have equal sums of their bits, read as integers: only such rows are compared.
    sums = embeddings.view(np.uint32).sum(axis=1, dtype=np.uint64)
    _, alike, times = np.unique(sums, return_inverse=True, return_counts=True)
    first = np.arange(len(embeddings))  # (N,), the first row that equals each one
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(times[alike] > 1).tolist():
        first[row] = seen.setdefault(embeddings[row].tobytes(), row)
    kept, ids, copies = np.unique(first, return_inverse=True, return_counts=True)
    return (embeddings if len(kept) == len(first) else embeddings[kept]), ids, copies


def _norms(embeddings: Array) -> FloatArray:
    return np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64))


def _normalised(embeddings: Array, norms: FloatArray, ids: IntArray, side: str) -> Array:
    limits = np.finfo(embeddings.dtype)
    bad = np.flatnonzero(((norms < limits.tiny) | (norms > limits.max))[ids])
    if len(bad):
        raise MMBenchError(
            f"{len(bad)} {side} embeddings are zero, or too short or long for a cosine in "
            f"{embeddings.dtype} ({side}s {first_five(bad)})"
        )
    if norms.min() == norms.max():  # as of binary codes: divide by a power of two, which is exact
        norms = np.exp2(np.round(np.log2(norms)))
    return embeddings / norms.astype(embeddings.dtype)[:, None]


def _no_wider_than_float64(matrix: Array) -> Array:
    """Long doubles, whose bytes are in part undefined, as float64."""
    wide = matrix.dtype.kind == "f" and matrix.dtype.itemsize > 8
    return matrix.astype(np.float64) if wide else matrix


def _check_shape(matrix: Array, name: str) -> None:
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise MMBenchError(
            f"{name} must be a matrix of real numbers, got shape {matrix.shape} of {matrix.dtype}"
        )
    if not matrix.size:
        raise MMBenchError(f"{name} are empty: shape {matrix.shape}")


def _check_finite(matrix: Array, name: str) -> None:
    bad = 0
    where = (0, 0)
    for top in range(0, len(matrix), _TILE_ROWS):
        finite = np.isfinite(matrix[top : top + _TILE_ROWS])
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            if not bad:
                where = (top + int(rows[0]), int(columns[0]))
            bad += len(rows)
    if bad:
        raise MMBenchError(
            f"{name} hold {bad} values that are NaN or infinite, the first in row {where[0]}, "
            f"column {where[1]}"
        )


def _check_fit(positives: Positives, shape: tuple[int, int], asking: str) -> None:
    if (len(positives), positives.gallery) != shape:
        raise MMBenchError(
            f"the {asking}s' right items are given for {len(positives)} queries over "
            f"{positives.gallery} items, but the scores are of {shape[0]} over {shape[1]}"
        )
