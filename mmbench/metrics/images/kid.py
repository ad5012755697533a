"""The kernel inception distance: unbiased squared maximum mean discrepancy of two feature sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError, NotMeasurable
from mmbench.metrics.base import FloatArray, IntArray
from mmbench.metrics.images.base import FeatureSetMetric, rows_present
from mmbench.metrics.images.features import Extractor
from mmbench.metrics.images.moments import as_features

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 0
BLOCK = 1024  # rows of the kernel held at a time


def polynomial_kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    """(x . y / D + 1)^3 for every pair of rows, (N, D), (M, D) -> (N, M)."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner  # ten times faster than ** 3


def kid(
    real: npt.NDArray[Any],
    generated: npt.NDArray[Any],
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = SEED,
) -> float:
    """The mean, over random subsets of both sets, of their unbiased squared MMD.

    Args:
        real: (N, D); generated: (M, D); N and M at least 2, not necessarily equal.
        subsets: how many subsets are drawn, each without replacement.
        subset_size: images of each set in a subset; all of the smaller set where it has fewer.
        seed: of the draws.
    Returns: the distance; below 0 at times, since it is unbiased.
    Raises: MMBenchError for shapes that do not fit; NotMeasurable for fewer than two images in a
        set.
    Source: Binkowski et al., Demystifying MMD GANs, 2018 (arXiv 1801.01401), eq. 4, with its kernel
        of degree 3; as torchmetrics and torch-fidelity.

    >>> round(kid(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])), 4)
    9.5
    """
    rows, others = as_features(real), as_features(generated)
    if rows.shape[1] != others.shape[1]:
        raise MMBenchError(
            f"features of one width are compared, got {rows.shape[1]} for the real images and "
            f"{others.shape[1]} for the generated"
        )
    size = min(subset_size, len(rows), len(others))
    if size < 2:
        raise NotMeasurable(
            f"KID needs 2 images or more of each set in a subset, got {len(rows)} real and "
            f"{len(others)} generated images, {subset_size} a subset"
        )
    if len(rows) == len(others) == size:
        subsets = 1  # every subset is the whole of both sets
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        x = rows[rng.choice(len(rows), size, replace=False)]
        y = others[rng.choice(len(others), size, replace=False)]
        values.append(_mmd(x, y))
    return float(np.mean(values))


def _mmd(x: FloatArray, y: FloatArray) -> float:
    pairs = len(x) * (len(x) - 1)
    within = sum(k.sum() - k.trace() for k in (polynomial_kernel(x, x), polynomial_kernel(y, y)))
    return within / pairs - 2 * polynomial_kernel(x, y).mean()


class KID(FeatureSetMetric):
    """Kernel distance between features of generated and of real images, `kid_<features>`.

    The mean over 100 subsets of 1,000 images of each set, or of all where there are fewer.
    Unbiased, so that sets of different sizes compare, and fit for few images.

    Args:
        features: a name or an extractor.

    >>> metric = KID("efficientnet_lite0")
    >>> metric.settings()["subsets"]
    '100x1000'
    >>> round(metric.aggregate(np.array([[1.0, 0.0], [2.0, 1.0]])), 4)
    9.5
    """

    higher_is_better = False
    scale = 1000.0  # as papers print it
    recentred = True  # a row drawn twice doubles a prompt's two images, which are alike
    bounds = (float("-inf"), float("inf"))
    source = "Binkowski et al. 2018 (arXiv 1801.01401); as torchmetrics, on the features named"

    def __init__(self, features: str | Extractor):
        super().__init__(features)
        self.name, self.title = f"kid_{self.extractor.name}", "KID"

    def settings(self) -> dict[str, str]:
        """The features, the kernel and the subsets."""
        return {
            **super().settings(),
            "kernel": "(x.y/D+1)^3",
            "subsets": f"{SUBSETS}x{SUBSET_SIZE}",
            "seed": str(SEED),
        }

    def aggregate(self, statistics: FloatArray) -> float:
        """The distance between the two sets; statistics (N, 2 D)."""
        generated, real = self.sides(statistics)
        return kid(real, generated)

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The distance on each replicate, all from one pass over the kernel.

        Pairs of a row with itself are left out however often it was drawn, which keeps replicates
        unbiased. They are taken over all images rather than subsets, and moved by what that
        changes in the value, so that an interval is that of the value. NaN where a replicate holds
        fewer than two different images of a set.
        """
        width = statistics.shape[1] // 2
        generated, real = statistics[:, :width], statistics[:, width:]
        has_generated, has_real = rows_present(generated), rows_present(real)
        generated, real = generated[has_generated], real[has_real]
        counts = np.vstack([np.ones(weights.shape[1]), weights])[:, groups]  # (1 + R, N)
        ours, theirs = counts[:, has_generated], counts[:, has_real]
        between = _weighted_sum(generated, real, ours, theirs)
        within = _within(generated, ours) + _within(real, theirs)  # NaN where a set is not drawn
        values = within - 2 * between / np.maximum(ours.sum(axis=1) * theirs.sum(axis=1), 1)
        return values[1:] - values[0] + self.aggregate(statistics)

    def notes(self, statistics: FloatArray) -> list[str]:
        """Where subsets are smaller than they should be."""
        generated, real = self.sides(statistics)
        count = min(len(generated), len(real))
        if count >= SUBSET_SIZE:
            return []
        return [f"{self.name}: subsets hold {count} images, there being no {SUBSET_SIZE}"]


def _within(rows: FloatArray, counts: FloatArray) -> FloatArray:
    """Mean of the kernel over pairs of different rows, each as often as drawn, (R,).

    NaN where fewer than two different rows were drawn: there is no such pair.
    """
    own = (rows**2).sum(axis=1) / rows.shape[1] + 1
    total = _weighted_sum(rows, rows, counts, counts) - counts**2 @ own**3
    pairs = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    return np.divide(total, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def _weighted_sum(
    x: FloatArray, y: FloatArray, x_counts: FloatArray, y_counts: FloatArray
) -> FloatArray:
    """sum_ij a_ri k(x_i, y_j) b_rj for each replicate r; a (R, N), b (R, M) -> (R,)."""
    total = np.zeros(len(x_counts))
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        products = y_counts @ polynomial_kernel(y, x[block])  # (R, block)
        total += (products * x_counts[:, block]).sum(axis=1)
    return total
