"""Precision, recall, density and coverage: how far two sets of features lie on one manifold.

A set's manifold is the union of balls about its images, each as wide as the distance to its k-th
nearest neighbour in the set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError, NotMeasurable
from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.metrics.images.base import FeatureSetMetric
from mmbench.metrics.images.features import Extractor
from mmbench.metrics.images.moments import as_features

NEIGHBOURS = 5
BLOCK = 1024  # rows of distances held at a time


def prdc(
    real: npt.NDArray[Any], generated: npt.NDArray[Any], k: int = NEIGHBOURS
) -> dict[str, FloatArray]:
    """What each image contributes to precision, recall, density and coverage, which are the means.

    Args:
        real: (N, D); generated: (M, D); N and M above k, not necessarily equal.
        k: which nearest neighbour bounds a ball.
    Returns: precision (M,): 1 for a generated image within a ball about a real one; recall (N,): 1
        for a real image within a ball about a generated one; density (M,): how many balls about
        real images a generated one lies in, over k; coverage (N,): 1 for a real image whose ball
        holds a generated one.
    Raises: MMBenchError for shapes that do not fit; NotMeasurable for sets of k images or fewer.
    Source: Kynkaanniemi et al., Improved precision and recall metric, 2019 (arXiv 1904.06991), and
        Naeem et al., Reliable fidelity and diversity metrics, 2020 (arXiv 2002.09797); as the
        latter's package `prdc`.

    >>> found = prdc(np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [2.5], [9.0]]), k=1)
    >>> {name: round(float(values.mean()), 4) for name, values in found.items()}
    {'precision': 0.6667, 'recall': 1.0, 'density': 1.0, 'coverage': 1.0}
    """
    rows, others = as_features(real), as_features(generated)
    if rows.shape[1] != others.shape[1]:
        raise MMBenchError(
            f"features of one width are compared, got {rows.shape[1]} for the real images and "
            f"{others.shape[1]} for the generated"
        )
    if min(len(rows), len(others)) <= k:
        raise NotMeasurable(
            f"precision and recall by {k} nearest neighbours need more than {k} images of each "
            f"set, got {len(rows)} real and {len(others)} generated"
        )
    centre = rows.mean(axis=0)  # near zero, squared distances lose fewer digits
    rows, others = rows - centre, others - centre
    radius, other_radius = _radii(rows, k), _radii(others, k)
    recall, coverage = np.zeros(len(rows)), np.zeros(len(rows))
    balls = np.zeros(len(others))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        distance = _squared_distances(rows[block], others)  # (block, M)
        recall[block] = (distance < other_radius).any(axis=1)
        inside = distance < radius[block, None]
        coverage[block] = inside.any(axis=1)
        balls += inside.sum(axis=0)
    return {
        "precision": (balls > 0).astype(np.float64),
        "recall": recall,
        "density": balls / k,
        "coverage": coverage,
    }


def _radii(rows: FloatArray, k: int) -> FloatArray:
    """Squared distance of each row to its k-th nearest other row, (N,)."""
    radii = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        # Of the k + 1 nearest one is the row itself, at distance 0.
        radii[block] = np.partition(_squared_distances(rows[block], rows), k, axis=1)[:, k]
    return radii


def _squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """|x_i - y_j|^2, (N, M); exactly 0 where the rounding of equal rows leaves a remainder."""
    norms = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    distances = norms - 2 * (x @ y.T)
    distances[distances < 1e-12 * norms] = 0
    return distances


class ManifoldMetric(FeatureSetMetric, TotalsMetric):
    """Precision, recall, density or coverage of generated images, `image_<kind>_<features>`.

    Precision and density tell how real the generated images look, recall and coverage how much of
    the real images' variety they show. With 5 nearest neighbours. The value depends on the number
    of images. An interval is over the images judged, the manifolds held as they are: those of
    images drawn twice would have no width.

    Args:
        kind: 'precision', 'recall', 'density' or 'coverage'.
        features: a name or an extractor.
    Statistics: (max(N, M), 2): the image's contribution, and 1; zeros below the set that
        the kind is a mean over (generated images for precision and density, else real ones).

    >>> metric = ManifoldMetric("coverage", "efficientnet_lite0")
    >>> metric.name, metric.settings()["neighbours"]
    ('image_coverage_efficientnet_lite0', '5')
    >>> metric.aggregate(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))
    0.5
    """

    scale = 100.0
    source = "Naeem et al. 2020 (arXiv 2002.09797), package prdc, on the features named"

    def __init__(self, kind: str, features: str | Extractor):
        super().__init__(features)
        self.kind = kind
        self.name, self.title = f"image_{kind}_{self.extractor.name}", kind.capitalize()
        if kind == "density":
            self.bounds = (0.0, float("inf"))

    def settings(self) -> dict[str, str]:
        """The features and the neighbours."""
        return {**super().settings(), "neighbours": str(NEIGHBOURS)}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """What each image contributes, and whether it counts, (max(N, M), 2).

        Args:
            predictions: N images; targets: M images: uint8 arrays (H, W, 3) or PIL images.
        Raises: MMBenchError where a set has 5 images or fewer, one is not an image, or the weights
            are absent.
        """
        generated, real = self.features_of(predictions, targets)
        values = prdc(real, generated)[self.kind]
        rows = np.zeros((max(len(real), len(generated)), 2))
        rows[: len(values), 0] = values
        rows[: len(values), 1] = 1
        return rows

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """The mean over the images that count."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals[..., 0] / totals[..., 1]
