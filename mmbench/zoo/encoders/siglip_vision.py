"""The image encoder of SigLIP: a Vision Transformer trained by a pairwise sigmoid loss.

Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023 (arXiv 2303.15343);
transformers' `SiglipVisionModel`, without its pooling head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmbench.zoo.encoders.huggingface import HuggingFaceVision, patch_of
from mmbench.zoo.transformers_network import LoRA, Start, transformer_sizes


class SigLIPVision(HuggingFaceVision):
    """SigLIP's Vision Transformer, without a class token: every token is a patch.

    Args:
        dim: width D of the tokens.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        patch: pixels a side of a patch, in an image of `size` a side, to which others are resized.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, 3, H, W) uint8 -> (B, (size / patch)^2, D).
    """

    modality = "image"
    architectures = ("siglip", "siglip_vision_model")
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
        from transformers import SiglipVisionConfig, SiglipVisionModel

        def configuration() -> SiglipVisionConfig:
            return SiglipVisionConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                vision_use_head=False,
                image_size=size,
                patch_size=patch_of(size, patch),
            )

        super().__init__(
            dim,
            SiglipVisionModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "heads": heads, "hidden": hidden, "patch": patch, "size": size},
            size=size,
            changes={"vision_use_head": False},
        )

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.whole(network(pixel_values=self.pixels(x)).last_hidden_state)
