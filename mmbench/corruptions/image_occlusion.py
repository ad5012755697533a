"""Parts of images and videos that are covered.

Source: Zhong et al., Random Erasing Data Augmentation, AAAI 2020 (arXiv 1708.04896), whose areas
these lie among; one grey rectangle of the image's own proportions.
"""

from __future__ import annotations

import numpy as np

from mmbench.corruptions.base import Corruption, generator

GREY = 128


class ImageOcclusion(Corruption):
    """A grey rectangle covers a share of the image, in a video of every frame.

    Its place is drawn; a level's rectangle holds that of the level before.
    """

    modalities = ("image", "video")
    amounts = (0.1, 0.2, 0.3, 0.4, 0.5)
    unit = "share of the area"

    def damaged(self, value: np.ndarray, amount: float, seed: int) -> np.ndarray:
        rows, columns = value.shape[-3:-1]
        high, wide = (round(amount**0.5 * side) for side in (rows, columns))
        down, right = generator(seed).random(2)
        top, left = int(down * (rows - high)), int(right * (columns - wide))
        covered = value.copy()
        covered[..., top : top + high, left : left + wide, :] = GREY
        return covered
