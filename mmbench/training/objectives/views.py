"""What objectives share that tell two views of an image from those of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmbench.data.media import at_hand
from mmbench.data.sample import Sample
from mmbench.model import Batch, TaskModel, pixels
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective, encoder_facts
from mmbench.training.objectives.content import all_of
from mmbench.training.objectives.images import Augmentation, augmented, draw_views
from mmbench.zoo.precision import in_float32


class ViewObjective(Objective):
    """Trains an image encoder by two views of every distinct image.

    Args:
        how: the views are drawn.
    """

    reads_texts = False
    reaches = ("encoders.image",)

    def __init__(self, how: Augmentation) -> None:
        super().__init__()
        self._how = how

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "image")

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: `image` (U, 3, H, W) uint8, and `views` (2 U, 11), how to make two of each."""
        image = pixels(at_hand(all_of(samples, "image")))
        return {"image": image, "views": draw_views(2 * len(image), rng, self._how)}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the image encoder alone."""
        return encoder_facts(model, recipe, "image")


def projection_head(width: int, features: int) -> nn.Module:
    """g(h) = W_2 relu(W_1 h), the head of SimCLR and of MoCo v2."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, features))


def views_of(batch: Batch) -> Tensor:
    """The views (2 U, 3, H, W) uint8 of a batch, the first of all images, then the others."""
    with in_float32(batch["image"].device):
        return augmented(batch["image"].repeat(2, 1, 1, 1), batch["views"])
