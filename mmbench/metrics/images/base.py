"""What metrics of two sets of images share: features per row, of sets that may differ in size.

Row i of the statistics holds what image i of the generated set and image i of the real set
contribute, so a bootstrap over rows redraws both sets. The sets need not be equally large: the
rows run to the larger one, and what is absent from them is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, Metric
from mmbench.metrics.images.features import Extractor, extractor, shared_features


def side_by_side(*columns: npt.NDArray[Any]) -> FloatArray:
    """Arrays (N_i, k_i) next to each other, (max N, sum k), with NaN below the shorter ones.

    >>> side_by_side(np.array([[1.0], [2.0]]), np.array([[3.0]]))
    array([[ 1.,  3.],
           [ 2., nan]])
    """
    height = max(len(column) for column in columns)
    joined = np.full((height, sum(column.shape[1] for column in columns)), np.nan)
    start = 0
    for column in columns:
        joined[: len(column), start : start + column.shape[1]] = column
        start += column.shape[1]
    return joined


def rows_present(columns: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,), false for the rows that `side_by_side` filled up; columns (N, k) of one set."""
    return ~np.isnan(columns[:, 0])


class FeatureSetMetric(Metric):
    """A distance between the features of generated images and those of real ones.

    Args:
        features: the name of the features, or an extractor.
    Statistics: (max(N, M), 2 D): features of the generated image, then of the real one.
    """

    tasks = ("generation",)
    scale = 1.0

    def __init__(self, features: str | Extractor):
        self.extractor = extractor(features)
        self.heading = self.extractor.title

    def settings(self) -> dict[str, str]:
        """The features, their weights and the images' preprocessing."""
        return self.extractor.settings()

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Features of N generated images beside those of M real ones, (max(N, M), 2 D).

        Args:
            predictions: N images; targets: M images, or mappings with an `image`.
        Raises: MMBenchError where a set is empty, one is not an image, or the weights are absent.
        """
        return side_by_side(*self.features_of(predictions, targets))

    def features_of(
        self, predictions: Sequence[Any], targets: Sequence[Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Features of generated (N, D) and of real images (M, D)."""
        for side, images in (("generated", predictions), ("real", targets)):
            if len(images) == 0:
                raise MMBenchError(f"{self.name} needs {side} images, got none")
        return (
            shared_features(predictions, self.extractor),
            shared_features(targets, self.extractor),
        )

    def sides(self, statistics: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Features of the generated images (N, D) and of the real ones (M, D)."""
        width = statistics.shape[1] // 2
        generated, real = statistics[:, :width], statistics[:, width:]
        return generated[rows_present(generated)], real[rows_present(real)]
