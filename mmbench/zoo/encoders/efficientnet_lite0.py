"""EfficientNet-Lite0 with its ImageNet weights (extra `pretrained`), by default frozen.

Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), in TensorFlow's Lite variant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmbench.pretrained import efficientnet_lite0, efficientnet_lite0_file
from mmbench.zoo.encoders.pretrained import PackagedEncoder


class EfficientNetLite0(PackagedEncoder):
    """Every position of the last map, of 7 x 7 x 1280 at 224 pixels, is a token, projected.

    What `unfreeze` trains keeps its norms' statistics, of ImageNet: those of a few images are poor.
    With `frozen: false` they follow the images.

    Args:
        dim: width D of the tokens.
        frozen: whether the network stays as it is.
        unfreeze: what is trained all the same: "none", or "last_2": of its 16 blocks the last two,
            and the convolution behind them.
        size: pixels a side, to which images are resized (bicubic); it was trained at 224.
    Shape: (B, 3, H, W) uint8 -> (B, (size / 32)^2, D).
    """

    modality = "image"
    version = 2
    added_with = {"frozen": True, "size": 224, "unfreeze": "none"}
    at_once = 4

    def __init__(
        self, dim: int, frozen: bool = True, size: int = 224, unfreeze: str = "none"
    ) -> None:
        if size < 32 or size % 32:
            raise ValueError(f"size must be a multiple of 32, got {size}")
        self._size = (size, size)

        def network() -> nn.Module:
            with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever this draws
                whole: Any = efficientnet_lite0()
            whole._fc = whole._dropout = nn.Identity()
            return whole

        self._keeps_statistics = unfreeze != "none"
        file = efficientnet_lite0_file()
        super().__init__(dim, network, file, 1280, frozen, unfreeze, {"size": size})

    def train(self, mode: bool = True) -> EfficientNetLite0:
        super().train(mode)
        if self._keeps_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def fastest(self, network: Any) -> nn.Module:
        """With norms and paddings as part of the convolutions, channels last, in place."""
        network._conv_stem, network._bn0 = _joined(network._conv_stem, network._bn0)
        network._conv_head, network._bn1 = _joined(network._conv_head, network._bn1)
        for block in network._blocks:
            if hasattr(block, "_expand_conv"):
                block._expand_conv, block._bn0 = _joined(block._expand_conv, block._bn0)
            block._depthwise_conv, block._bn1 = _joined(block._depthwise_conv, block._bn1)
            block._project_conv, block._bn2 = _joined(block._project_conv, block._bn2)
        for module in network.modules():
            if isinstance(module, nn.ReLU6):
                module.inplace = True
        return network.to(memory_format=torch.channels_last)

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        pixels = x.float()
        if x.shape[-2:] != self._size:
            pixels = functional.interpolate(pixels, self._size, mode="bicubic", antialias=True)
        pixels = ((pixels - 127) / 128).contiguous(memory_format=torch.channels_last)
        features = network.extract_features(pixels)  # (B, F, h, w)
        tokens = features.flatten(2).transpose(1, 2)
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


def _joined(convolution: Any, norm: Any) -> tuple[nn.Module, nn.Module]:
    """A convolution that pads by itself and does the norm's work, and what stands for the norm."""
    with torch.no_grad():
        folded: Any = fuse_conv_bn_eval(convolution, norm)
    folded.requires_grad_(False)
    left, right, top, bottom = getattr(folded.static_padding, "padding", (0, 0, 0, 0))
    if left == right and top == bottom:
        folded.padding, folded.static_padding = (top, left), nn.Identity()
    return folded, nn.Identity()
