"""Frechet distance and KID on the recogniser's features, which know scenes and need no download."""

from __future__ import annotations

import copy
from functools import lru_cache

from torch import Tensor, nn

from mmbench.metrics.images.features import Extractor, Pixels
from mmbench.metrics.images.frechet import FrechetDistance
from mmbench.metrics.images.kid import KID
from mmbench_tasks.generation.recogniser import (
    PREPROCESSING,
    WEIGHTS,
    WIDTH,
    Recogniser,
    prepare,
    recogniser,
)


class SceneFeatures(Extractor):
    """The 64 features below the recogniser's outputs, averaged over the picture.

    Each is standardised by its mean and deviation over real pictures, so that all count alike.

    >>> FrechetDistance(SceneFeatures()).name
    'fd_scenes'
    """

    name = "scenes"
    title = "Scene features"
    width = WIDTH
    published = WEIGHTS
    preprocessing = PREPROCESSING

    def prepare(self, image: Pixels) -> Tensor:
        """(3, 32, 32), values 0..1."""
        return prepare(image)

    def network(self) -> nn.Module:
        """The recogniser without its outputs, loaded once."""
        return _pooled()


class _Pooled(nn.Module):
    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:  # (B, 3, 32, 32) -> (B, 64)
        return self.network.pooled(pictures)


@lru_cache(maxsize=1)
def _pooled() -> nn.Module:
    # A copy: features are extracted on a GPU where there is one, objects are read on the CPU
    return _Pooled(copy.deepcopy(recogniser()))


def fd_scenes() -> FrechetDistance:
    """The Frechet distance on the features of the recogniser of scenes."""
    return FrechetDistance(SceneFeatures())


def kid_scenes() -> KID:
    """The kernel distance on the features of the recogniser of scenes."""
    return KID(SceneFeatures())
