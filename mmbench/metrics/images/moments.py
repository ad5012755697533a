"""Mean and covariance of features that come in batches, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray


class Moments:
    """Count, mean and covariance of rows, added batch by batch; two of them merge.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979, eq. 2.1, in matrices. Deviations are summed about the batch's own mean, so
    that features far from zero lose no digits.

    >>> moments = Moments()
    >>> moments.add(np.array([[0.0, 1.0], [1.0, 3.0]]))
    >>> moments.add(np.array([[2.0, 5.0]]))
    >>> moments.mean
    array([1., 3.])
    >>> moments.covariance
    array([[1., 2.],
           [2., 4.]])
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: FloatArray = np.zeros(0)
        self._deviations: FloatArray = np.zeros((0, 0))  # sum of outer products about the mean

    def add(self, batch: npt.NDArray[Any]) -> None:
        """Take in features (B, D).

        Raises: MMBenchError for another shape or width, or values that are not finite.
        """
        rows = as_features(batch)
        if len(rows) == 0:
            return
        other = Moments()
        other.count = len(rows)
        other._mean = rows.mean(axis=0)
        centred = rows - other._mean
        other._deviations = centred.T @ centred
        self.merge(other)

    def merge(self, other: Moments) -> None:
        """Take in the rows of `other`, as if they had been added here.

        Raises: MMBenchError where the widths differ.
        """
        if other.count == 0:
            return
        if self.count == 0:
            self.count = other.count
            self._mean, self._deviations = other._mean.copy(), other._deviations.copy()
            return
        if len(self._mean) != len(other._mean):
            raise MMBenchError(
                f"features of {len(other._mean)} columns cannot join features of {len(self._mean)}"
            )
        count = self.count + other.count
        shift = other._mean - self._mean
        self._deviations += other._deviations
        self._deviations += np.outer(shift, shift) * (self.count * other.count / count)
        self._mean += shift * (other.count / count)
        self.count = count

    @property
    def mean(self) -> FloatArray:
        """Mean of the rows, (D,)."""
        if self.count == 0:
            raise MMBenchError("no features were given, so they have no mean")
        return self._mean.copy()

    @property
    def covariance(self) -> FloatArray:
        """Unbiased covariance (divided by N - 1, as `np.cov`), (D, D)."""
        if self.count < 2:
            raise MMBenchError(f"a covariance needs 2 images or more, got {self.count}")
        return self._deviations / (self.count - 1)


def as_features(rows: npt.NDArray[Any]) -> FloatArray:
    """The features (N, D) in float64.

    Raises: MMBenchError for another shape, or values that are not finite.
    """
    features = np.asarray(rows, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise MMBenchError(f"features have shape (images, width), got {features.shape}")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise MMBenchError(
            f"{(~finite).sum()} of {len(features)} images have features that are NaN or infinite, "
            f"the first at row {int((~finite).argmax())}"
        )
    return features
