"""A convolutional flow: noise is carried to an image's latents along nearly straight lines.

Source: Lipman et al., Flow Matching for Generative Modeling, 2023 (arXiv 2210.02747), and Liu et
al., Rectified Flow, 2023 (arXiv 2209.03003), in the latents of an autoencoder as in Rombach et al.,
Latent Diffusion, 2022 (arXiv 2112.10752).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.autoencoder import AutoencoderSettings, PatchLayer
from mmbench.zoo.decoders.fused import FusedStates, MakeFusion, fused_beside, mean_losses
from mmbench.zoo.decoders.image import ImageDecoder, Sampling, guided, with_and_without
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.stream import Contexts


class FlowDecoder(ImageDecoder):
    """An autoencoder, and a convolutional network that says where to carry noise to.

    Args:
        dim: width D.
        fusion: makes the recipe's fusion, applied before each layer; None looks at no context.
        autoencoder: its sizes.
        size: pixels a side.
        layers: of the network, each a convolution over the squares and a feed-forward layer.
        square: patches a side that the network takes for one position.
        unprompted: share of the training samples whose contexts are left out.
    """

    added_with = {"size": 32, "layers": 4, "square": 2, "unprompted": 0.1}

    def __init__(
        self,
        dim: int,
        fusion: MakeFusion,
        autoencoder: AutoencoderSettings,
        size: int = 32,
        layers: int = 4,
        square: int = 2,
        unprompted: float = 0.1,
    ) -> None:
        super().__init__(size, autoencoder, False, square, unprompted)
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        if dim % 2:
            raise ValueError(f"the width must be even, got {dim}")
        self._shape = (self.squares, square**2 * autoencoder.latent)
        self.enter = nn.Linear(self._shape[1], dim)
        self.time = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.positions = nn.Parameter(torch.randn(self._shape[0], dim) * 0.02)
        self.fused = fused_beside(layers, dim, fusion, causal=False)
        self.layers = nn.ModuleList(
            [PatchLayer(dim, autoencoder.grid // square) for _ in range(layers)]
        )
        self.leave = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self._shape[1]))

    def loss(self, found: Tensor, contexts: Contexts) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean squared error of the velocity, at a random time, of latents (B, G*G, L)."""
        found = self.by_square(found)
        noise = torch.randn_like(found)
        time = torch.rand(len(found), device=found.device)
        along = time[:, None, None]
        velocity, calls = self(
            (1 - along) * noise + along * found, time, self.dropped(contexts, len(found))
        )
        return functional.mse_loss(velocity, found - noise), mean_losses(calls)

    def forward(self, x: Tensor, time: Tensor, contexts: Contexts) -> tuple[Tensor, list[Fused]]:
        """The velocity (B, squares, V) at points x, alike, and times (B,) from 0, noise, to 1.

        And what the calls of the fusion gave.
        """
        h = self.enter(x) + self.positions + self.time(self._waves(time))[:, None]
        calls: list[Fused] = []
        for fused, layer in zip(self.fused, self.layers, strict=True):
            if isinstance(fused, FusedStates):
                h, call = fused(h, contexts)
                calls.append(call)
            h = layer(h)
        return self.leave(h), calls

    def draw(self, contexts: Contexts, seeds: Sequence[int], sampling: Sampling) -> Tensor:
        """Latents (B, G*G, L); see `ImageDecoder.draw`. Euler's method, in equal steps."""
        rows = [
            torch.randn(self._shape, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        x = torch.stack(rows).to(self.positions.device) * sampling.temperature
        double = sampling.guidance != 1
        contexts = with_and_without(contexts) if double else contexts
        for step in range(sampling.steps):
            points = torch.cat([x, x]) if double else x
            time = points.new_full((len(points),), step / sampling.steps)
            velocity, _ = self(points, time, contexts)
            x = x + (guided(velocity, sampling.guidance) if double else velocity) / sampling.steps
        return self.by_patch(x)

    def _waves(self, time: Tensor) -> Tensor:
        """Sines and cosines of times (B,), (B, D)."""
        half = self.positions.shape[1] // 2
        speed = torch.exp(torch.arange(half, device=time.device) * (-math.log(1000) / half)) * 100
        angles = time[:, None] * speed
        return torch.cat([angles.sin(), angles.cos()], -1)
