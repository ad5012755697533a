"""Sounds as numbers at the rate that a network of someone else's was trained on."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np


def resampled(wave: Any, rate: int | None, wanted: int) -> Any:
    """A sound (S,) int16 at the wanted rate, (S',) float32, of numbers of 16 bits between -1 and 1.

    Args:
        rate: of the sound, samples a second; that which is wanted where it is not known.
    """
    wave = wave.astype(np.float32) / 32768
    if rate is None or rate == wanted:
        return wave
    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    return resample_poly(wave, wanted // common, rate // common).astype(np.float32)
