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

from mmbench.data.sample import Sample
from mmbench.model import Batch, Losses, TaskModel, pixels
from mmbench.published_checkpoint import identified
from mmbench.recipe import Recipe
from mmbench.training.objectives.base import Objective, encoder_of
from mmbench.training.objectives.images import augmented, draw_views, images_of
from mmbench.versions import part_version
from mmbench.zoo.precision import in_float32


class SimCLR(Objective):
    """Contrastive pretraining of the image encoder on augmented views (SimCLR).

    The encoder's tokens are pooled (h), and a head of two layers (g), which is thrown away after
    the stage, makes z of them. Needs no labels: only the images of the training samples.

    Args:
        temperature: tau.
        features: of z.
        strength: s of the colour distortion; 0.5 is the paper's for small images.
        blur: whether half of the views are blurred, which the paper leaves out for small images.
    """

    reaches = ("encoders.image",)

    def __init__(
        self,
        model: TaskModel,
        temperature: float = 0.5,
        features: int = 128,
        strength: float = 0.5,
        blur: bool = False,
    ) -> None:
        super().__init__()
        if temperature <= 0 or features < 1 or strength < 0:
            raise ValueError(
                "temperature and features must be positive and strength at least 0, got "
                f"{temperature}, {features} and {strength}"
            )
        width = encoder_of(model, "image", "simclr").dim
        self._temperature = temperature
        self._strength, self._blur = strength, blur
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, features)
        )

    def collate(
        self, model: TaskModel, samples: Sequence[Sample], rng: np.random.Generator
    ) -> Batch:
        """Returns: `image` (U, 3, H, W) uint8, and `views` (2 U, 11), how to make two of each."""
        image = pixels(images_of(samples))
        return {
            "image": image,
            "views": draw_views(2 * len(image), rng, self._strength, self._blur),
        }

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """NT-Xent of the two views of every image."""
        with in_float32(batch["image"].device):
            views = augmented(batch["image"].repeat(2, 1, 1, 1), batch["views"])
        stream = encoder_of(model, "image", "simclr")(views)
        first, second = self.head(stream.pool()).chunk(2)
        return {"nt_xent": nt_xent(first, second, self._temperature)}

    def shared(self, model: TaskModel, recipe: Recipe) -> Mapping[str, Any]:
        """It reads the image encoder alone."""
        part = recipe.encoders["image"]
        assert part is not None  # the model has such an encoder
        version = part_version("encoders", part.name)
        encoder = part.model_dump() | {"options": identified("encoders", part)}
        return {"encoder": encoder, "version": version, "width": recipe.width}


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
