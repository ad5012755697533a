"""The Frechet distance as a metric, and its form on the published Inception-v3: the FID."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mmbench.computing import float64_gpu
from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, IntArray
from mmbench.metrics.images.base import FeatureSetMetric, rows_present
from mmbench.metrics.images.distance import frechet_from_features
from mmbench.metrics.images.features import Extractor, InceptionV3Features


class FrechetDistance(FeatureSetMetric):
    """Frechet distance between Gaussians fitted to features of generated and of real images.

    Called `fd_<features>`. Only on the published Inception-v3 is it called `fid`. The value falls
    as the number of images grows, so only equal numbers of images compare.

    Args:
        features: a name or an extractor.
        name: 'fid' for the Frechet inception distance.
    Raises: MMBenchError where that name is asked for other features.

    >>> metric = FrechetDistance("efficientnet_lite0")
    >>> metric.signature
    'fd_efficientnet_lite0|features:efficientnet_lite0|weights:57934424|preprocessing:pil_bicubic_224|covariance:unbiased|v:1'
    >>> metric.aggregate(np.array([[3.0, 0.0], [5.0, 2.0]]))
    9.0
    """

    higher_is_better = False
    bounds = (0.0, float("inf"))
    replicates = 100  # an eigendecomposition each
    recentred = True
    source = "Heusel et al. 2017 (arXiv 1706.08500); as pytorch-fid, on the features named"

    def __init__(self, features: str | Extractor, name: str | None = None):
        super().__init__(features)
        self.name = name or f"fd_{self.extractor.name}"
        self.title = "FID" if name == "fid" else "FD"
        if name == "fid":
            self._refuse_other_features()

    def settings(self) -> dict[str, str]:
        """The features, and how their covariance is estimated."""
        return {**super().settings(), "covariance": "unbiased"}

    def _refuse_other_features(self) -> None:
        features = self.extractor
        if not isinstance(features, InceptionV3Features):
            raise MMBenchError(
                f"a Frechet distance on {features.name} features is not an FID: FID is defined on "
                f"Inception-v3's. Call it fd_{features.name}"
            )
        if features.weights != features.published:
            raise MMBenchError(
                f"FID is defined on the published Inception-v3 weights, whose SHA-256 begins with "
                f"{features.published}: {features.file} begins with {features.weights}. "
                f"Call it fd_{features.name}"
            )

    def aggregate(self, statistics: FloatArray) -> float:
        """The distance between the two sets; statistics (N, 2 D)."""
        generated, real = self.sides(statistics)
        return frechet_from_features(real, generated)

    def resample(self, statistics: FloatArray, weights: FloatArray, groups: IntArray) -> FloatArray:
        """The distance on each replicate, whose moments count a row as often as it was drawn.

        A replicate holds fewer distinct images than the sets do, so its distance is the larger.
        NaN where it holds fewer than two images of a set. On a run's GPU if it has one, in float64;
        the distance itself is the CPU's on any machine, so that a record is verified on another.
        """
        width = statistics.shape[1] // 2
        generated, real = statistics[:, :width], statistics[:, width:]
        has_generated, has_real = rows_present(generated), rows_present(real)
        generated, real = generated[has_generated], real[has_real]
        distance: Callable[[FloatArray, FloatArray], float]
        if (gpu := float64_gpu()) is not None:
            from mmbench.metrics.images.device_distance import FrechetOnDevice

            distance = FrechetOnDevice(real, generated, gpu)
        else:
            distance = partial(frechet_from_features, real, generated)
        values = np.full(len(weights), np.nan)
        for row, drawn in enumerate(weights):
            counts = drawn[groups]
            ours, theirs = counts[has_generated], counts[has_real]
            if ours.sum() >= 2 and theirs.sum() >= 2:
                values[row] = distance(theirs, ours)
        return values

    def notes(self, statistics: FloatArray) -> list[str]:
        """Where a set has too few images for its covariance to have full rank."""
        found = []
        for side, rows in zip(("generated", "real"), self.sides(statistics), strict=True):
            count, width = rows.shape
            if count <= width:
                found.append(
                    f"{self.name}: a {width}-d covariance from {count} {side} images is singular, "
                    "so the value is biased upwards"
                )
        return found


class FID(FrechetDistance):
    """The Frechet inception distance, on the published Inception-v3 weights alone.

    Images are resized as TensorFlow 1 did, as torch-fidelity; other resizes give other numbers.

    >>> FID().signature
    'fid|features:inception_v3|weights:6726825d|preprocessing:tf1_bilinear_299|covariance:unbiased|v:1'
    """

    def __init__(self) -> None:
        super().__init__(InceptionV3Features(), name="fid")
