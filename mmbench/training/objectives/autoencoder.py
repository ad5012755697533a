"""Reconstruction: an image decoder's autoencoder learns to give back the images it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmbench.data.media import at_hand
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses, TaskModel, pixels
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective
from mmbench.training.objectives.content import all_of
from mmbench.zoo.decoders.image import ImageDecoder


class Autoencoding(Objective):
    """Reconstruction of images by the autoencoder of an image decoder, without any text."""

    reads_texts = False
    reaches = ("decoder.autoencoder",)

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        _decoder(model)

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "image")

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: `image`, (U, 3, S, S) uint8. It draws nothing."""
        return {"image": pixels(at_hand(all_of(samples, "image")))}

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """The autoencoder's own loss."""
        return {"reconstruction": _decoder(model).autoencoder.loss(batch["image"])}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the autoencoder alone."""
        autoencoder = _decoder(model).autoencoder
        return {"version": autoencoder.version, **autoencoder.identity}


def _decoder(model: TaskModel) -> ImageDecoder:
    decoder = dict(model.named_children()).get("decoder")
    if not isinstance(decoder, ImageDecoder):
        raise MMBenchError(
            "autoencoder trains a decoder of images; this model's decoder is not one"
        )
    return decoder
