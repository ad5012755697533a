"""EfficientNet-Lite0 with its ImageNet weights (extra `pretrained`), by default frozen.

Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), in TensorFlow's Lite variant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.pretrained import EFFICIENTNET_LITE0, efficientnet_lite0
from mmbench.zoo.encoders.pretrained import PretrainedEncoder

_PIXELS = 224  # a side, as it was trained


class EfficientNetLite0(PretrainedEncoder):
    """Every position of the last map of 7 x 7 x 1280 is a token, projected.

    Images of another size are resized to 224 x 224 (bicubic).

    Args:
        dim: width D of the tokens.
        frozen: whether the network stays as it is.
    Shape: (B, 3, H, W) uint8 -> (B, 49, D).
    """

    modality = "image"
    features = 1280
    fingerprint = f"efficientnet_lite0-{EFFICIENTNET_LITE0[:12]}-224"
    at_once = 1

    added_with = {"frozen": True}

    def __init__(self, dim: int, frozen: bool = True) -> None:
        with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever this draws
            network: Any = efficientnet_lite0()
        network._fc = network._dropout = nn.Identity()
        super().__init__(dim, network, frozen)

    def run(self, network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `PretrainedEncoder`."""
        pixels = x.float()
        if x.shape[-2:] != (_PIXELS, _PIXELS):
            size = (_PIXELS, _PIXELS)
            pixels = functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        features = network.extract_features((pixels - 127) / 128)  # (B, F, 7, 7)
        tokens = features.flatten(2).transpose(1, 2)
        return tokens, tokens.new_ones(tokens.shape[:2]).bool()
