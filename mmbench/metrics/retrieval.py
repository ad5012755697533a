"""Retrieval metrics: recall, rank and precision statistics from the ranks of the right items.

A sample is a query. Its prediction is the ascending array of the 1-based ranks of its right items
(`mmbench.metrics.ranking` counts them); its target is the direction it asks in, for example
"text_to_image" or "image_to_text", or None where there is only one. A file of predictions thus
holds the queries of both directions, grouped by image for the bootstrap, and a metric made for one
direction takes that direction's queries out of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError, NotMeasurable
from mmbench.metrics.base import FloatArray, IntArray, Metric, TotalsMetric
from mmbench.metrics.positives import first_five
from mmbench.metrics.ranking import ABSENT

TEXT_TO_IMAGE = "text_to_image"
IMAGE_TO_TEXT = "image_to_text"


class QueryMean(TotalsMetric):
    """The mean over queries of one value from the ranks; statistics (N, 2) are value and count.

    Args:
        direction: whose queries it is of; None for predictions of one direction.
    """

    tasks = ("retrieval",)
    base: str

    def __init__(self, direction: str | None = None) -> None:
        self.direction, self.heading = direction, _heading(direction)
        self.name = _directed(self.base, direction)

    def settings(self) -> dict[str, str]:
        """Equal scores are counted against the model."""
        return {"ties": "against"}

    @abstractmethod
    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """The value (Q,) of each query; query q's ranks are ranks[offsets[q]:offsets[q + 1]]."""

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Each query's value and 1, or two zeros for a query of another direction; (N, 2).

        Args:
            predictions: N ascending arrays of ranks.
            targets: N directions, or None.
        Raises: MMBenchError for predictions that are not ranks, or directions that do not fit.
        """
        asked = _asked(self.name, self.direction, predictions, targets)
        values = self.of_query(*_join(predictions))
        return np.stack([np.where(asked, values, 0.0), asked], axis=1)

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """The mean over the queries asked; NaN for a replicate that drew none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals[..., 0] / totals[..., 1]


class RecallAtK(QueryMean):
    """The share of queries with any right item among the first k: recall@k of COCO and Flickr.

    An image with five captions counts once, whichever of them is found.

    >>> metric = RecallAtK(5)
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    0.75
    >>> RecallAtK(1, "text_to_image").signature
    'text_to_image_recall_at_1|hit:any|ties:against|v:1'
    """

    source = "Karpathy and Fei-Fei, CVPR 2015; VSE++ (Faghri et al., BMVC 2018), i2t and t2i"

    def __init__(self, k: int, direction: str | None = None) -> None:
        self.k, self.base, self.title = _positive(k), f"recall_at_{k}", f"R@{k}"
        super().__init__(direction)

    def settings(self) -> dict[str, str]:
        """Any right item will do; equal scores are counted against the model."""
        return {"hit": "any", **super().settings()}

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """1.0 where the first rank is at most k."""
        return (ranks[offsets[:-1]] <= self.k).astype(np.float64)


class TrueRecallAtK(QueryMean):
    """The share of a query's right items that are among the first k, averaged over queries.

    >>> metric = TrueRecallAtK(5)
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    0.625
    """

    source = "visionmetrics RetrievalRecallEvaluator; torchmetrics RetrievalRecall(top_k=k)"

    def __init__(self, k: int, direction: str | None = None) -> None:
        self.k, self.base, self.title = _positive(k), f"true_recall_at_{k}", f"True R@{k}"
        super().__init__(direction)

    def settings(self) -> dict[str, str]:
        """All right items count; equal scores are counted against the model."""
        return {"hit": "share", **super().settings()}

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """Right items found over right items."""
        return np.add.reduceat(ranks <= self.k, offsets[:-1], dtype=np.float64) / np.diff(offsets)


class MeanRank(QueryMean):
    """The mean over queries of the rank of the first right item.

    >>> metric = MeanRank()
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    3.5
    """

    base = "mean_rank"
    title = "MeanR"
    higher_is_better = False
    bounds = (1.0, float("inf"))
    scale = 1.0
    source = "VSE++ (Faghri et al., BMVC 2018), meanr of i2t and t2i"

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """The first rank."""
        return ranks[offsets[:-1]].astype(np.float64)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """As `QueryMean`'s.

        Raises: also NotMeasurable where a query's ranks are not known.
        """
        found = super().statistics(predictions, targets)
        _check_known(found[:, 0])
        return found


class MeanReciprocalRank(QueryMean):
    """The mean over queries of 1 / rank of the first right item.

    >>> metric = MeanReciprocalRank()
    >>> metric.aggregate(metric.statistics([[2, 9], [4, 7], [1, 2], [4]], [None] * 4))
    0.5
    """

    base = "mrr"
    title = "MRR"
    source = "Voorhees, TREC-8 question answering track, 1999; torchmetrics RetrievalMRR"

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """1 / first rank; 0 where no right item is retrieved."""
        first = ranks[offsets[:-1]]
        return np.where(first == ABSENT, 0.0, 1.0 / first)


class RPrecision(QueryMean):
    """The share of right items among a query's first R, R being how many right items it has.

    >>> metric = RPrecision()
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    0.375
    """

    base = "r_precision"
    title = "R-precision"
    source = "ECCV Caption (Chun et al., ECCV 2022), eccv_rprecision of eccv_caption"

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """Right items among the first R, over R."""
        number = np.diff(offsets)
        found = ranks <= np.repeat(number, number)
        return np.add.reduceat(found, offsets[:-1], dtype=np.float64) / number


class MAPAtR(QueryMean):
    """mAP@R: precision at the rank of each right item among the first R, summed, over R.

    A query with R right items, of which the i-th stands at rank r_i, scores
    (1 / R) * sum of i / r_i over the r_i <= R.

    >>> metric = MAPAtR()
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    0.3125
    """

    base = "map_at_r"
    title = "mAP@R"
    source = "Musgrave et al., ECCV 2020; ECCV Caption (Chun et al., ECCV 2022), eccv_map_at_r"

    def of_query(self, ranks: IntArray, offsets: IntArray) -> FloatArray:
        """The sum of i / r_i over the ranks up to R, over R."""
        number = np.diff(offsets)
        place = np.arange(len(ranks)) - np.repeat(offsets[:-1], number) + 1
        precision = np.where(ranks <= np.repeat(number, number), place / ranks, 0.0)
        return np.add.reduceat(precision, offsets[:-1]) / number


class MedianRank(Metric):
    """The median over queries of the rank of the first right item.

    An even number of queries gives the midpoint of the middle two; VSE++ rounds it down.

    >>> metric = MedianRank()
    >>> metric.aggregate(metric.statistics([[2, 9], [6, 7], [1, 2], [5]], [None] * 4))
    3.5
    """

    tasks = ("retrieval",)
    title = "MedR"
    higher_is_better = False
    bounds = (1.0, float("inf"))
    scale = 1.0
    source = "VSE++ (Faghri et al., BMVC 2018), medr of i2t and t2i"

    def __init__(self, direction: str | None = None) -> None:
        self.direction, self.heading = direction, _heading(direction)
        self.name = _directed("median_rank", direction)

    def settings(self) -> dict[str, str]:
        """The midpoint of the middle two; equal scores are counted against the model."""
        return {"median": "midpoint", "ties": "against"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Each query's first rank, or NaN for a query of another direction; (N, 1).

        Raises: as `QueryMean`'s; NotMeasurable where a query's ranks are not known.
        """
        asked = _asked(self.name, self.direction, predictions, targets)
        ranks, offsets = _join(predictions)
        first = np.where(asked, ranks[offsets[:-1]], np.nan)
        _check_known(first)
        return first[:, None]

    def aggregate(self, statistics: FloatArray) -> float:
        """The median over the queries asked; NaN if there are none."""
        ranks = statistics[~np.isnan(statistics)]
        return float(np.median(ranks)) if len(ranks) else float("nan")


class RSUM(TotalsMetric):
    """The sum of recall@1, @5 and @10 in both directions, each in percent: 600 is perfect.

    >>> metric = RSUM()
    >>> ranks = [[1, 2], [6, 7], [1], [2], [3], [11]]
    >>> directions = ["image_to_text"] * 2 + ["text_to_image"] * 4
    >>> metric.aggregate(metric.statistics(ranks, directions))  # 50 + 50 + 100 + 25 + 75 + 75
    375.0
    """

    tasks = ("retrieval",)
    name = "rsum"
    title = "RSUM"
    bounds = (0.0, 600.0)
    scale = 1.0
    source = "rsum of VSE++ (Faghri et al., BMVC 2018): the sum of the six recalls"
    directions = (IMAGE_TO_TEXT, TEXT_TO_IMAGE)
    ks = (1, 5, 10)

    def settings(self) -> dict[str, str]:
        """The recalls summed; any right item will do; ties are counted against the model."""
        ks, directions = "+".join(map(str, self.ks)), "+".join(self.directions)
        return {"recall": ks, "directions": directions, "hit": "any", "ties": "against"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """For each direction: 1 for its queries, then whether each recall hits; (N, 8)."""
        ranks, offsets = _join(predictions)
        first = ranks[offsets[:-1]]
        columns = []
        for direction in self.directions:
            asked = _asked(self.name, direction, predictions, targets)
            columns += [asked, *(asked & (first <= k) for k in self.ks)]
        return np.stack(columns, axis=1).astype(np.float64)

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """100 times the sum of the recalls; NaN for a replicate that lacks a direction."""
        sides = totals.reshape(*totals.shape[:-1], len(self.directions), 1 + len(self.ks))
        with np.errstate(invalid="ignore", divide="ignore"):
            recalls = 100.0 * sides[..., 1:] / sides[..., :1]
        return recalls.sum(axis=(-2, -1))


def _directed(name: str, direction: str | None) -> str:
    return f"{direction}_{name}" if direction else name


def _heading(direction: str | None) -> str:
    return direction.replace("_", "-").capitalize() if direction else ""


def _positive(k: int) -> int:
    if k < 1:
        raise MMBenchError(f"recall@k needs a k of at least 1, got {k}")
    return k


def _join(predictions: Sequence[Any]) -> tuple[IntArray, IntArray]:
    """All ranks in one array, and the offsets of the queries in it; checks that they are ranks."""
    arrays = [np.asarray(ranks) for ranks in predictions]
    bad = [query for query, ranks in enumerate(arrays) if ranks.ndim != 1 or not ranks.size]
    if bad:
        raise MMBenchError(
            f"{len(bad)} predictions are not lists of ranks, one rank per right item "
            f"(queries {first_five(bad)})"
        )
    ranks = np.concatenate(arrays)
    offsets = np.cumsum([0, *map(len, arrays)])
    if ranks.dtype.kind not in "iu" or ranks.min() < 1:
        raise MMBenchError("ranks must be whole numbers from 1 up")
    falls = (np.diff(ranks) <= 0) & (ranks[1:] != ABSENT)
    falls[offsets[1:-1] - 1] = False  # from one query to the next
    if falls.any():
        query = np.searchsorted(offsets, np.flatnonzero(falls)[0], side="right") - 1
        raise MMBenchError(f"ranks of a query must ascend; those of query {query} do not")
    return ranks.astype(np.int64, copy=False), offsets


def _check_known(first: FloatArray) -> None:
    """Whether the first rank (N,) of every query is one: a mean of others would mean nothing."""
    without = int((first == ABSENT).sum())
    if without:
        raise NotMeasurable(
            f"it needs the rank of a right item of every query, and {without:,} queries have none "
            "in their list or gallery"
        )


def _asked(
    name: str, direction: str | None, predictions: Sequence[Any], targets: Sequence[Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which queries the metric is of (N,)."""
    if not len(predictions):
        raise MMBenchError(f"{name} needs at least one query, got none")
    if len(predictions) != len(targets):
        raise MMBenchError(
            f"{name} needs one direction per query: {len(predictions)} queries, "
            f"{len(targets)} directions"
        )
    if not all(target is None or isinstance(target, str) for target in targets):
        raise MMBenchError(f"{name} needs directions such as {TEXT_TO_IMAGE} as targets, or None")
    found = list(dict.fromkeys(targets))
    if direction is None:
        if len(found) > 1:
            raise MMBenchError(
                f"{name} was given queries of several directions ({first_five(found)}): ask for "
                f"one of them, such as {found[0]}_{name}"
            )
        return np.ones(len(targets), np.bool_)
    if direction not in found:
        raise MMBenchError(
            f"{name} needs queries of direction {direction}, got only {first_five(found)}"
        )
    return np.fromiter((target == direction for target in targets), np.bool_, len(targets))
