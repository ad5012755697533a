"""Inputs of the encoders that begin from a checkpoint of transformers, and their names."""

import numpy as np
import pytest

from tests.tiny_checkpoints import TYPES

D = 8
NAMES = sorted(TYPES)
every = pytest.mark.parametrize("name", NAMES)
TEXTS = ["a man rides horses!", "dog", "a dog, a man"]
RNG = np.random.default_rng(0)
MEDIA = {
    "image": [RNG.integers(0, 256, (48, 40, 3), dtype=np.uint8) for _ in range(3)],
    "video": [RNG.integers(0, 256, (9, 40, 48, 3), dtype=np.uint8) for _ in range(3)],
    "audio": [RNG.integers(-9000, 9000, 2000, dtype=np.int16) for _ in range(3)],
}


class Held:
    """What a sample holds of a medium."""

    rate = 8000

    def __init__(self, values, rate=8000):
        self.values, self.rate = values, rate

    def array(self):
        return self.values


def values_of(encoder):
    return TEXTS if encoder.modality == "text" else [Held(v) for v in MEDIA[encoder.modality]]
