"""A small convolutional image encoder, trained from nothing within minutes on a CPU.

Source: the plain strided design of Springenberg et al., Striving for Simplicity, 2015
(arXiv 1412.6806), with batch normalisation (Ioffe and Szegedy 2015); coordinates: Liu et al., An
Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution, 2018 (arXiv
1807.03247), fig. 3.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream


class Conv(Encoder):
    """Strided 3x3 convolutions; every position of the last map is a token.

    Args:
        dim: width D of the tokens.
        channels: of the layers before the last, each of which halves the resolution.
        coordinates: whether the first layer reads each pixel's place besides its colour, so that a
            token knows where in the image it is, and so does the mean of all tokens.
    Shape: (B, 3, H, W) uint8 -> (B, H/2^n * W/2^n, D) for n layers.
    """

    modality = "image"

    added_with = {"channels": (32, 64, 128), "coordinates": False}

    def __init__(
        self, dim: int, channels: tuple[int, ...] = (32, 64, 128), coordinates: bool = False
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be one or more positive numbers, got {channels}")
        self.dim = dim
        self.coordinates = coordinates
        sizes = [5 if coordinates else 3, *channels, dim]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        pixels = x.float() / 127.5 - 1
        if self.coordinates:
            pixels = torch.cat([pixels, places(pixels)], dim=1)
        features = self.layers(pixels)  # (B, D, h, w)
        tokens = features.flatten(2).transpose(1, 2)
        return Stream.whole(tokens)


def places(x: Tensor) -> Tensor:
    """Where along each axis after the second a value stands, from -1 to 1.

    Args:
        x: (B, C, ..., H, W), for its sizes.
    Returns: (B, axes, ..., H, W).
    """
    sizes = x.shape[2:]
    lines = [torch.linspace(-1, 1, size, device=x.device, dtype=x.dtype) for size in sizes]
    return torch.stack(torch.meshgrid(*lines, indexing="ij")).expand(len(x), -1, *sizes)
