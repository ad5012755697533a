"""ResNet: blocks of convolutions that add to what they read.

Source: He et al., Deep Residual Learning for Image Recognition, 2016 (arXiv 1512.03385);
transformers' `ResNetModel`, with the basic blocks of ResNet-18 where it begins from nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmbench.zoo.encoders.huggingface import HuggingFaceVision
from mmbench.zoo.transformers_network import LoRA, Start


class ResNet(HuggingFaceVision):
    """Residual blocks y = relu(F(x) + x); every position of the last map is a token.

    Args:
        dim: width D of the tokens.
        layers: blocks of each stage of a network from nothing.
        channels: of each stage; each but the first halves the resolution, after a stem that has
            quartered it.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, 3, H, W) uint8 -> (B, H/2^(n+1) * W/2^(n+1), D) for n stages.
    """

    modality = "image"
    version = 2
    architectures = ("resnet",)
    added_with = {
        "layers": (2, 2, 2),
        "channels": (32, 64, 128),
        "pretrained": None,
        "revision": None,
        "unfreeze": "none",
        "lora": None,
    }

    def __init__(
        self,
        dim: int,
        layers: tuple[int, ...] = (2, 2, 2),
        channels: tuple[int, ...] = (32, 64, 128),
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import ResNetConfig, ResNetModel

        def configuration() -> ResNetConfig:
            if not channels or min(*channels, *layers, 1) < 1 or len(layers) != len(channels):
                raise ValueError(
                    "layers and channels must be as many positive numbers as there are stages, got "
                    f"{layers} and {channels}"
                )
            return ResNetConfig(
                embedding_size=channels[0],
                hidden_sizes=list(channels),
                depths=list(layers),
                layer_type="basic",
            )

        super().__init__(
            dim,
            ResNetModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "channels": channels},
            size=None,
        )

    def width_of(self, config: Any) -> int:
        return int(config.hidden_sizes[-1])

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        pixels = self.pixels(x).contiguous(memory_format=torch.channels_last)  # 1.3 times as fast
        features = network(pixel_values=pixels).last_hidden_state  # (B, F, h, w)
        return self.whole(features.flatten(2).transpose(1, 2))
