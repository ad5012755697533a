"""The `Metric` contract: statistics per sample + an aggregate over them + a signature.

Because a metric is statistics per sample plus an aggregate, intervals, paired tests and
per-sample inspection come for free, and 1,000 bootstrap replicates of a metric whose aggregate
needs only totals are one (1000, G) @ (G, k) product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Metric(ABC):
    """One number over samples, and how to get it.

    Attributes:
        name: what records call it and `--metrics` takes.
        title: what a reader calls it: "R@1"; made of the name if empty.
        heading: what stands above it and its like in a table: "Text-to-image"; nothing if empty.
        higher_is_better: which way is up.
        bounds: lowest and highest value it can take.
        scale: what tables multiply the value by (100 shows an accuracy as a percentage).
        source: the paper or reference implementation that it matches.
        replicates: bootstrap replicates of its interval, fewer where each is costly; 0 for none.
        recentred: whether resamples are biased, so that the interval is moved to lie about the
            value: a Frechet distance grows where fewer distinct images are drawn.
        own_process: whether another program does the work, so that it can run beside other metrics.
        tasks: whose answers it judges, by name: `mmbench list metrics --task TASK` shows it.
        version: raised when the definition changes, so that old numbers are not compared with new.
    """

    name: str
    title: str = ""
    heading: str = ""
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    scale: float = 100.0
    replicates: int = 1000
    recentred: bool = False
    own_process: bool = False
    source: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ()
    version: int = 1

    def settings(self) -> dict[str, str]:
        """What the value depends on besides the data; goes into the signature, in this order."""
        return {}

    @property
    def signature(self) -> str:
        """How the number is computed. Only equal signatures are comparable."""
        parts = [self.name, *(f"{k}:{v}" for k, v in self.settings().items()), f"v:{self.version}"]
        return "|".join(parts)

    @abstractmethod
    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Sufficient statistics of each sample.

        Args:
            predictions: N predictions, in the order of the samples.
            targets: N targets, in the same order.
        Returns: float64 array (N, k).
        Raises: MMBenchError if the two do not fit each other.
        """

    @abstractmethod
    def aggregate(self, statistics: FloatArray) -> float:
        """The metric's value over the samples whose statistics (N, k) are given."""

    def examples(self) -> tuple[Sequence[Any], Sequence[Any]] | None:
        """Predictions and targets to check it with (`mmbench check metric`); None for texts."""
        return None

    def notes(self, statistics: FloatArray) -> list[str]:
        """What a reader of the value over these statistics (N, k) should know; goes on record."""
        return []

    def ceiling(self, statistics: FloatArray) -> float | None:
        """The value that the real data of these samples (N, k) get, as the most to be expected.

        None where it is the bound, or unknown.
        """
        return None

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The value on each bootstrap replicate.

        Args:
            statistics: (N, k).
            weights: (R, G), how often replicate r drew group g; whole numbers.
            groups: (N,), the group of each sample, 0..G-1.
        Returns: (R,).
        """
        counts = weights[:, groups].astype(np.int64)  # (R, N)
        rows = np.arange(len(statistics))
        return np.array([self.aggregate(statistics[np.repeat(rows, c)]) for c in counts])


class TotalsMetric(Metric):
    """A metric whose value needs only the totals of its statistics: BLEU, accuracy, any mean."""

    @abstractmethod
    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """The value from totals.

        Args:
            totals: (..., k), sums of the statistics.
            count: (...), how many samples they are sums of.
        Returns: (...).
        """

    def aggregate(self, statistics: FloatArray) -> float:
        """The value over the samples given; statistics (N, k), N at least 1."""
        return float(
            self.from_totals(statistics.sum(axis=0), np.asarray(len(statistics), np.float64))
        )

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The value on each replicate, as one product of weights (R, G) and group totals (G, k)."""
        size = weights.shape[1]
        totals = np.stack(
            [np.bincount(groups, column, minlength=size) for column in statistics.T], axis=1
        )
        count = np.bincount(groups, minlength=size).astype(np.float64)
        return self.from_totals(weights @ totals, weights @ count)


class MeanMetric(TotalsMetric):
    """The mean of one value per sample: accuracy, recall@k, CIDEr. Statistics are (N, 1)."""

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """Total over count; a replicate that drew no sample is NaN."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals[..., 0] / count
