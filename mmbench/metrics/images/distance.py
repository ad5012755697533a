"""The Frechet distance between two Gaussians, and between two sets of features.

tr sqrtm(S1 S2) is the sum of the square roots of the eigenvalues of F' S2 F for any S1 = F F', a
symmetric matrix, so neither a Schur decomposition nor complex numbers are needed, and a singular
covariance needs no constant added to its diagonal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError, NotMeasurable
from mmbench.metrics.base import FloatArray
from mmbench.metrics.images.moments import as_features


def frechet_distance(
    mean1: npt.NDArray[Any],
    covariance1: npt.NDArray[Any],
    mean2: npt.NDArray[Any],
    covariance2: npt.NDArray[Any],
) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 sqrtm(S1 S2)).

    Args:
        mean1, mean2: (D,).
        covariance1, covariance2: (D, D), symmetric, positive semi-definite, singular or not.
    Returns: the squared distance, at least 0.
    Raises: MMBenchError for shapes that do not fit or values that are not finite.
    Source: Dowson and Landau, The Frechet distance between multivariate normal distributions, 1982,
        eq. 4; as pytorch-fid's `calculate_frechet_distance`.

    >>> round(frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2)), 9)
    4.0
    """
    m1, m2 = np.asarray(mean1, np.float64), np.asarray(mean2, np.float64)
    s1, s2 = np.asarray(covariance1, np.float64), np.asarray(covariance2, np.float64)
    square = (len(m1), len(m1)) if m1.ndim == 1 else ()
    if m1.shape != m2.shape or s1.shape != square or s2.shape != square:
        raise MMBenchError(
            f"two Gaussians of one width are compared, got means {m1.shape} and {m2.shape}, "
            f"covariances {s1.shape} and {s2.shape}"
        )
    if not all(np.isfinite(array).all() for array in (m1, m2, s1, s2)):
        raise MMBenchError("a mean or covariance to compare holds NaN or infinite values")
    distance = ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * _trace_of_root(s1, s2)
    return max(float(distance), 0.0)


def _trace_of_root(s1: FloatArray, s2: FloatArray) -> float:
    try:
        factor = np.linalg.cholesky(s1)
    except np.linalg.LinAlgError:  # singular: the eigenvectors that its images span
        values, vectors = np.linalg.eigh(s1)
        spanned = values > values[-1] * len(values) * np.finfo(np.float64).eps
        factor = vectors[:, spanned] * np.sqrt(values[spanned])
    if factor.shape[1] == 0:
        return 0.0
    values = np.linalg.eigvalsh(factor.T @ s2 @ factor)
    return float(np.sqrt(values.clip(min=0)).sum())


def frechet_from_features(
    real: npt.NDArray[Any],
    generated: npt.NDArray[Any],
    real_weights: FloatArray | None = None,
    generated_weights: FloatArray | None = None,
) -> float:
    """The Frechet distance between Gaussians fitted to two sets of features.

    Args:
        real: (N, D); generated: (M, D); N and M at least 2, not necessarily equal.
        real_weights, generated_weights: (N,), (M,), how often each row counts; once by default.
    Returns: the distance between their means and unbiased covariances.
    Raises: MMBenchError for shapes that do not fit or values that are not finite; NotMeasurable for
        fewer than two rows that count.

    >>> frechet_from_features(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    9.0
    """
    rows, others = as_features(real), as_features(generated)
    if rows.shape[1] != others.shape[1]:
        raise MMBenchError(
            f"features of one width are compared, got {rows.shape[1]} for the real images and "
            f"{others.shape[1]} for the generated"
        )
    mean1, deviations1 = _weighted(rows, real_weights, "real")
    mean2, deviations2 = _weighted(others, generated_weights, "generated")
    if 2 * max(len(deviations1), len(deviations2)) > rows.shape[1]:
        return frechet_distance(
            mean1, deviations1.T @ deviations1, mean2, deviations2.T @ deviations2
        )
    # Far fewer images than features: S = A'A with A (N, D), and the trace of the root is the sum of
    # the singular values of A1 A2', which is smaller than either covariance.
    root = np.linalg.svd(deviations1 @ deviations2.T, compute_uv=False).sum()
    spread = (deviations1**2).sum() + (deviations2**2).sum()
    return max(float(((mean1 - mean2) ** 2).sum() + spread - 2 * root), 0.0)


def _weighted(
    rows: FloatArray, weights: FloatArray | None, side: str
) -> tuple[FloatArray, FloatArray]:
    """Mean (D,), and deviations (N', D) whose A'A is the unbiased covariance."""
    if weights is None:
        weights = np.ones(len(rows))
    rows, weights = rows[weights > 0], weights[weights > 0]
    count = weights.sum()
    if count < 2:
        raise NotMeasurable(f"a Frechet distance needs 2 {side} images or more, got {count:g}")
    mean = weights @ rows / count
    return mean, (rows - mean) * np.sqrt(weights / (count - 1))[:, None]
