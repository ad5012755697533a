"""A small convolutional video encoder, trained from nothing within minutes on a CPU.

Source: Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks (C3D), 2015
(arXiv 1412.0767): 3x3x3 kernels, the first layers halving space and later ones time as well.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.encoders.conv import places
from mmbench.zoo.stream import Stream


class Conv3D(Encoder):
    """Strided 3x3x3 convolutions; every position of the last map, in time and space, is a token.

    Args:
        dim: width D of the tokens.
        channels: of the layers before the last. Each halves the resolution, and each but the first
            the number of frames.
        coordinates: whether the first layer reads each pixel's place in time and space besides its
            colour; see `Conv`.
    Shape: (B, T, 3, H, W) uint8 -> (B, T/2^(n-1) * H/2^n * W/2^n, D) for n layers.
    """

    modality = "video"

    added_with = {"channels": (16, 32, 64), "coordinates": False}

    def __init__(
        self, dim: int, channels: tuple[int, ...] = (16, 32, 64), coordinates: bool = False
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be one or more positive numbers, got {channels}")
        self.dim = dim
        self.coordinates = coordinates
        sizes = [6 if coordinates else 3, *channels, dim]
        layers: list[nn.Module] = []
        for place, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            stride = (1 if place == 0 else 2, 2, 2)
            layers += [
                nn.Conv3d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm3d(fan_out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        pixels = x.float().transpose(1, 2) / 127.5 - 1  # (B, 3, T, H, W)
        if self.coordinates:
            pixels = torch.cat([pixels, places(pixels)], dim=1)
        features = self.layers(pixels)  # (B, D, t, h, w)
        tokens = features.flatten(2).transpose(1, 2)
        return Stream.whole(tokens)
