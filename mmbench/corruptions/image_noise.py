"""Noise in images and videos.

Source: Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, ICLR
2019 (arXiv 1903.12261): Gaussian noise of ImageNet-C and its five severities.
"""

from __future__ import annotations

import numpy as np

from mmbench.corruptions.base import Corruption, as_pixels, generator


class ImageNoise(Corruption):
    """Normal noise is added to every pixel and colour; the same noise, stronger, at each level."""

    modalities = ("image", "video")
    amounts = (0.08, 0.12, 0.18, 0.26, 0.38)
    unit = "standard deviation, of colours from 0 to 1"

    def damaged(self, value: np.ndarray, amount: float, seed: int) -> np.ndarray:
        noise = generator(seed).standard_normal(value.shape, np.float32)
        return as_pixels(value / np.float32(255) + amount * noise)
