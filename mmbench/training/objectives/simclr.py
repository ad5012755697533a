"""SimCLR: two views of an image are found among the views of all others.

Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020
(arXiv 2002.05709), eq. 1 and sec. 2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mmbench.model import Batch, Losses, TaskModel
from mmbench.training.objectives.base import encoder_of
from mmbench.training.objectives.images import Augmentation
from mmbench.training.objectives.views import ViewObjective, projection_head, views_of
from mmbench.zoo.precision import in_float32


class SimCLR(ViewObjective):
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
        super().__init__(Augmentation(crop, strength, grey, blur))
        if temperature <= 0 or features < 1:
            raise ValueError(
                f"temperature and features must be positive, got {temperature} and {features}"
            )
        self._temperature = temperature
        self.head = projection_head(encoder_of(model, "image", "simclr").dim, features)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """NT-Xent of the two views of every image."""
        stream = encoder_of(model, "image", "simclr")(views_of(batch))
        first, second = self.head(stream.pool()).chunk(2)
        return {"nt_xent": nt_xent(first, second, self._temperature)}


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
