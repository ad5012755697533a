"""Blur in images and videos.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, ICLR
2019 (arXiv 1903.12261): Gaussian blur and its five severities, 1, 2, 3, 4 and 6 pixels of 224, here
as a share of the image's shorter side, so that they mean the same at every size.
"""

from __future__ import annotations

import numpy as np

from mmbench.corruptions.base import Corruption


class ImageBlur(Corruption):
    """Each image is blurred by a Gaussian. It draws nothing."""

    modalities = ("image", "video")
    amounts = (1 / 224, 2 / 224, 3 / 224, 4 / 224, 6 / 224)
    unit = "standard deviation, as a share of the shorter side"

    def damaged(self, value: np.ndarray, amount: float, seed: int) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        sigma = amount * min(value.shape[-3:-1])
        spread = (*[0] * (value.ndim - 3), sigma, sigma, 0)
        blurred = gaussian_filter(value.astype(np.float32), spread, mode="nearest")
        return np.rint(blurred).astype(np.uint8)
