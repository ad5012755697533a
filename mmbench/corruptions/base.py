"""The `Corruption` contract."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

import numpy as np


class Corruption(ABC):
    """One way in which an input is damaged, from hardly to badly.

    Registered under `mmbench.corruptions`. A subclass has either `damaged`, which changes a value,
    or `missing`, which takes it away. What it draws is drawn from `seed` alone, a number of the
    value's own that is the same at every level: so a level adds to the damage of the one before,
    whatever the batch and the order, and a sample that is missing at 0.25 is missing at 0.5.

    Attributes:
        modalities: what it can be done to ("image", "video", "audio", "text").
        amounts: of damage, one a level, from the least to the most. The curve's points lie at
            level / levels, and the undamaged input at 0.
        unit: what the amounts are, in a few words.
        version: raised when the same amount does other damage.
    """

    modalities: ClassVar[tuple[str, ...]]
    amounts: ClassVar[tuple[float, ...]]
    unit: ClassVar[str]
    version: ClassVar[int] = 1

    def missing(self, amount: float, seed: int) -> bool:
        """Whether the input is taken away altogether.

        Args:
            amount: one of `amounts`.
            seed: of the sample: evenly distributed from 0 to 2**48.
        """
        return False

    def damaged(self, value: Any, amount: float, seed: int) -> Any:
        """The value after the damage; the one that is given stays as it is.

        Args:
            value: of an image (H, W, 3) uint8, of a video (T, H, W, 3) uint8, of a sound (S,)
                int16; or a text.
            amount: one of `amounts`.
            seed: of the medium, which all samples about it share, or of the sample whose text it
                is.
        """
        return value


def generator(seed: int) -> np.random.Generator:
    """What a value's damage is drawn from."""
    return np.random.default_rng(seed)


def as_pixels(values: np.ndarray) -> np.ndarray:
    """Colours from 0 to 1 as uint8."""
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)
