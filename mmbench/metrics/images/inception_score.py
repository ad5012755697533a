"""The Inception score: sure of each image's class, and many classes among the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError, NotMeasurable
from mmbench.metrics.base import FloatArray, IntArray, Metric
from mmbench.metrics.images.base import rows_present, side_by_side
from mmbench.metrics.images.features import InceptionV3Features, shared_features

SPLITS = 10


def inception_score(probabilities: npt.NDArray[Any], splits: int = SPLITS) -> float:
    """exp(mean KL(p(y|x) || p(y))), averaged over consecutive splits of the images.

    Args:
        probabilities: (N, C), class probabilities of each image.
        splits: into how many parts the images are cut, in their order; at most N.
    Returns: between 1 and C.
    Raises: MMBenchError for rows that are not probabilities; NotMeasurable for fewer images than
        splits.
    Source: Salimans et al., Improved techniques for training GANs, 2016 (arXiv 1606.03498), sec. 4,
        and its code for the splits.

    >>> round(inception_score(np.eye(4), splits=1), 6)
    4.0
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise MMBenchError(
            f"the Inception score takes class probabilities (images, classes), got {p.shape} "
            "with rows that are negative or do not sum to 1"
        )
    if not 1 <= splits <= len(p):
        raise NotMeasurable(f"{len(p)} images cannot be cut into {splits} splits")
    return float(_scores(p, np.ones((1, len(p))), splits)[0])


def _scores(p: FloatArray, counts: FloatArray, splits: int) -> FloatArray:
    """The score for each row of counts (R, N), how often each image counts; (R,)."""
    from scipy.special import xlogy

    negative_entropy = xlogy(p, p).sum(axis=1)
    scores = []
    for part in range(splits):
        rows = slice(part * len(p) // splits, (part + 1) * len(p) // splits)
        drawn = counts[:, rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = drawn / drawn.sum(axis=1, keepdims=True)
        marginal = share @ p[rows]  # (R, C)
        scores.append(np.exp(share @ negative_entropy[rows] - xlogy(marginal, marginal).sum(1)))
    return np.mean(scores, axis=0)


class InceptionScore(Metric):
    """The Inception score of generated images, over 10 splits; real images play no part.

    On the published Inception-v3 weights and their 1,008 classes. It says nothing about the task,
    nor about images that are copied from the training set; kept since older tables have it.

    >>> metric = InceptionScore()
    >>> metric.signature
    'inception_score|features:inception_v3|weights:6726825d|preprocessing:tf1_bilinear_299|splits:10|v:1'
    >>> round(metric.aggregate(np.tile(np.eye(4), (10, 1))), 6)
    4.0
    """

    tasks = ("generation",)
    name = "inception_score"
    title = "IS"
    bounds = (1.0, 1008.0)
    scale = 1.0
    source = "Salimans et al. 2016 (arXiv 1606.03498); as torch-fidelity, splits unshuffled"

    def __init__(self) -> None:
        self.extractor = InceptionV3Features()

    def settings(self) -> dict[str, str]:
        """The features, and how many splits."""
        return {**self.extractor.settings(), "splits": str(SPLITS)}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Class probabilities of N generated images, (N, 1008), NaN below them to M real ones.

        Args:
            predictions: N images; targets: M images, of which only the number counts.
        Raises: MMBenchError where there is no image, something else, or the weights are absent.
        """
        if len(predictions) == 0:
            raise MMBenchError("inception_score needs generated images, got none")
        features = shared_features(predictions, self.extractor)
        return side_by_side(self.extractor.probabilities(features), np.empty((len(targets), 0)))

    def aggregate(self, statistics: FloatArray) -> float:
        """The score; statistics (N, C)."""
        return inception_score(statistics[rows_present(statistics)])

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The score on each replicate; NaN where a split lost all its images."""
        present = rows_present(statistics)
        return _scores(statistics[present], weights[:, groups[present]], SPLITS)

    def notes(self, statistics: FloatArray) -> list[str]:
        """Where the splits are too small for the marginal over 1,008 classes."""
        count = int(rows_present(statistics).sum())
        if count // SPLITS >= statistics.shape[1]:
            return []
        return [
            f"inception_score: {SPLITS} splits of {count} images hold fewer images than there are "
            f"classes ({statistics.shape[1]}), so the value is biased downwards"
        ]
