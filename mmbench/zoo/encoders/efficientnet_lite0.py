"""EfficientNet-Lite0 with its ImageNet weights (extra `pretrained`), by default frozen.

Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), in TensorFlow's Lite variant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.pretrained import efficientnet_lite0
from mmbench.zoo.encoders.pretrained import PretrainedEncoder


class EfficientNetLite0(PretrainedEncoder):
    """Every position of the last map, of 7 x 7 x 1280 at 224 pixels, is a token, projected.

    Args:
        dim: width D of the tokens.
        frozen: whether the network stays as it is.
        size: pixels a side, to which images are resized (bicubic); it was trained at 224.
    Shape: (B, 3, H, W) uint8 -> (B, (size / 32)^2, D).
    """

    modality = "image"
    version = 2
    added_with = {"frozen": True, "size": 224}
    at_once = 1

    def __init__(self, dim: int, frozen: bool = True, size: int = 224) -> None:
        if size < 32 or size % 32:
            raise ValueError(f"size must be a multiple of 32, got {size}")
        with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever this draws
            network: Any = efficientnet_lite0()
        network._fc = network._dropout = nn.Identity()
        self._size = (size, size)
        super().__init__(dim, network, 1280, frozen, {"size": size})

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        pixels = x.float()
        if x.shape[-2:] != self._size:
            pixels = functional.interpolate(pixels, self._size, mode="bicubic", antialias=True)
        features = network.extract_features((pixels - 127) / 128)  # (B, F, h, w)
        tokens = features.flatten(2).transpose(1, 2)
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
