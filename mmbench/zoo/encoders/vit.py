"""Vision Transformer: an image is a sequence of patches.

Source: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021 (arXiv 2010.11929), eq. 1-4;
transformers' `ViTModel`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmbench.zoo.encoders.huggingface import HuggingFaceVision, patch_of
from mmbench.zoo.transformers_network import (
    NO_DROPOUT,
    LoRA,
    Start,
    transformer_sizes,
    unit_start,
)


class ViT(HuggingFaceVision):
    """Vision Transformer: z_0 = [class; x_1 E; ...] + positions, through blocks; h = norm(z_L).

    The first token is the class token (`pooling: first`), the others are the patches.

    Args:
        dim: width D of the tokens.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        patch: pixels a side of a patch, in an image of `size` a side, to which others are resized.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, 3, H, W) uint8 -> (B, 1 + (size / patch)^2, D).
    """

    modality = "image"
    version = 2  # 1 began at the deviation of a network of width 768
    architectures = ("vit",)
    added_with = {
        "layers": 4,
        "heads": 4,
        "hidden": None,
        "patch": 8,
        "size": 64,
        "pretrained": None,
        "revision": None,
        "unfreeze": "none",
        "lora": None,
    }

    def __init__(
        self,
        dim: int,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        patch: int = 8,
        size: int = 64,
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import ViTConfig, ViTModel

        def configuration() -> ViTConfig:
            return ViTConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                **NO_DROPOUT,
                **unit_start(dim, hidden),
                image_size=size,
                patch_size=patch_of(size, patch),
            )

        super().__init__(
            dim,
            ViTModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "heads": heads, "hidden": hidden, "patch": patch, "size": size},
            size=size,
            options={"add_pooling_layer": False},
        )

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.whole(network(pixel_values=self.pixels(x)).last_hidden_state)
