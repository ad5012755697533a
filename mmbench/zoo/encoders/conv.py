"""A small convolutional image encoder, trained from nothing within minutes on a CPU.

Source: the plain strided design of Springenberg et al., Striving for Simplicity, 2015
(arXiv 1412.6806), with batch normalisation (Ioffe and Szegedy 2015).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream


class Conv(Encoder):
    """Strided 3x3 convolutions; every position of the last map is a token.

    Args:
        dim: width D of the tokens.
        channels: of the layers before the last, each of which halves the resolution.
    Shape: (B, 3, H, W) uint8 -> (B, H/2^n * W/2^n, D) for n layers.
    """

    modality = "image"

    def __init__(self, dim: int, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be one or more positive numbers, got {channels}")
        self.dim = dim
        sizes = [3, *channels, dim]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Stream:
        """See the class."""
        features = self.layers(x.float() / 127.5 - 1)  # (B, D, h, w)
        tokens = features.flatten(2).transpose(1, 2)
        return Stream(tokens, tokens.new_ones(tokens.shape[:2]).bool())
