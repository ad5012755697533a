"""A stem of convolutions in the place of a Vision Transformer's patches.

Source: Xiao et al., Early Convolutions Help Transformers See Better, 2021 (arXiv 2106.14881),
sec. 3 and 5: 3x3 convolutions of stride 2 whose channels double, batch normalisation and ReLU, then
one of 1x1 to the width; it learns sooner than one large convolution whose strides are its patches.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn


class ConvolutionalStem(nn.Sequential):
    """An image (B, 3, H, W) -> a vector of width D for each patch, (B, D, H / patch, W / patch).

    Args:
        dim: width D, the channels of its last layer of stride 2; those before have half of the
            next one's.
        patch: pixels a side of a patch, a power of 2.
    Raises: ValueError for sizes that halve to nothing.
    """

    def __init__(self, dim: int, patch: int) -> None:
        halvings = patch.bit_length() - 1
        if patch != 2**halvings or halvings < 1 or dim % 2 ** (halvings - 1):
            raise ValueError(
                f"a stem of convolutions halves the image: patch must be 2, 4, 8, 16 or so on, and "
                f"hidden one that halves as often, got patch {patch} and hidden {dim}"
            )
        sizes = [3, *(dim // 2**place for place in reversed(range(halvings)))]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, nn.Conv2d(dim, dim, 1))

    @property
    def weight(self) -> Tensor:
        """Of the last layer, by whose type transformers reads an image."""
        return cast(nn.Conv2d, self[-1]).weight
