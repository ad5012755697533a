"""SimCLR: two views of an image are found among the views of all others.

Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020
(arXiv 2002.05709), eq. 1 and sec. 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.media import at_hand
from mmbench.data.sample import Sample
from mmbench.model import Batch, Losses, TaskModel, pixels
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective, encoder_facts, encoder_of
from mmbench.training.objectives.content import all_of
from mmbench.training.objectives.images import Augmentation, augmented, draw_views
from mmbench.zoo.precision import in_float32


class SimCLR(Objective):
    """l(i, j) = -log exp(sim(z_i, z_j) / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau), of views.

    The encoder's tokens are pooled (h), and a head of two layers (g), which is thrown away after
    the stage, makes z of them. Needs no labels: only the images of the training samples.

    Args:
        temperature: tau.
        features: of z.
        strength: s of the colour distortion; 0.5 is the paper's for small images, 0 leaves colours
            as they are, for data in which they matter.
        crop: the smallest share of an image that a view keeps.
        grey: the share of the views that are made grey.
        blur: the share of the views that are blurred: 0.5 in the paper, but for small images.
    """

    reads_texts = False
    reaches = ("encoders.image",)
    version = 2
    added_with = {
        "temperature": 0.5,
        "features": 128,
        "strength": 0.5,
        "crop": 0.08,
        "grey": 0.2,
        "blur": 0.0,
    }

    def __init__(
        self,
        model: TaskModel,
        temperature: float = 0.5,
        features: int = 128,
        strength: float = 0.5,
        crop: float = 0.08,
        grey: float = 0.2,
        blur: float = 0.0,
    ) -> None:
        super().__init__()
        if temperature <= 0 or features < 1:
            raise ValueError(
                f"temperature and features must be positive, got {temperature} and {features}"
            )
        self._temperature = temperature
        self._how = Augmentation(crop, strength, grey, blur)
        self.head = projection_head(encoder_of(model, "image", "simclr").dim, features)

    def check(self, model: TaskModel, samples: Sequence[Sample]) -> None:
        all_of(samples, "image")

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: `image` (U, 3, H, W) uint8, and `views` (2 U, 11), how to make two of each."""
        return two_views(samples, rng, self._how)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """NT-Xent of the two views of every image."""
        stream = encoder_of(model, "image", "simclr")(views_of(batch))
        first, second = self.head(stream.pool()).chunk(2)
        return {"nt_xent": nt_xent(first, second, self._temperature)}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the image encoder alone."""
        return encoder_facts(model, recipe, "image")


def projection_head(width: int, features: int) -> nn.Module:
    """g(h) = W_2 relu(W_1 h), the head of SimCLR and of MoCo v2."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, features))


def two_views(samples: Sequence[Sample], rng: np.random.Generator, how: Augmentation) -> Batch:
    """Returns: `image` (U, 3, H, W) uint8, and `views` (2 U, 11), how to make two of each."""
    image = pixels(at_hand(all_of(samples, "image")))
    return {"image": image, "views": draw_views(2 * len(image), rng, how)}


def views_of(batch: Batch) -> Tensor:
    """The views (2 U, 3, H, W) uint8 of a batch of `two_views`, the first of all, then others."""
    with in_float32(batch["image"].device):
        return augmented(batch["image"].repeat(2, 1, 1, 1), batch["views"])


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross-entropy, SimCLR's eq. 1, in float32 or float64.

    l(i, j) = -log( exp(sim(z_i, z_j) / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau) ),
    averaged over both orders of all pairs; sim is the cosine.

    Args:
        first, second: (N, D), two views of N things, in the same order.
        temperature: tau.
    """
    with in_float32(first.device):
        z = torch.cat([first, second])
        z = functional.normalize(z if z.dtype == torch.float64 else z.float(), dim=-1)
        logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
        count = len(first)
        partner = torch.arange(2 * count, device=z.device).roll(count)
        return functional.cross_entropy(logits, partner)
