"""Noise in sounds.

Source: the ratios of Hirsch and Pearce, The Aurora experimental framework, ASR 2000, from 20 dB to
0 dB in steps of 5; here of white noise.
"""

from __future__ import annotations

import numpy as np

from mmbench.corruptions.base import Corruption, generator

_LOUDEST = 2**15 - 1


class SoundNoise(Corruption):
    """White noise is added, the same, louder, at each level. Silence stays silent."""

    modalities = ("audio",)
    amounts = (20.0, 15.0, 10.0, 5.0, 0.0)
    unit = "dB, signal to noise"

    def damaged(self, value: np.ndarray, amount: float, seed: int) -> np.ndarray:
        sound = value.astype(np.float32)
        loudness = np.sqrt((sound**2).mean()) if sound.size else np.float32(0)
        noise = generator(seed).standard_normal(sound.shape, np.float32)
        mixed = sound + loudness * np.float32(10 ** (-amount / 20)) * noise
        return np.rint(mixed).clip(-_LOUDEST - 1, _LOUDEST).astype(np.int16)
