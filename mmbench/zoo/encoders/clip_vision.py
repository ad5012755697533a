"""The image encoder of CLIP: a Vision Transformer trained against captions.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021 (arXiv 2103.00020), sec. 2.4; transformers' `CLIPVisionModel`.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from mmbench.zoo.encoders.huggingface import HuggingFaceVision, patch_of
from mmbench.zoo.encoders.stem import ConvolutionalStem
from mmbench.zoo.transformers_network import LoRA, Start, transformer_sizes


class CLIPVision(HuggingFaceVision):
    """CLIP's Vision Transformer, with a norm before its blocks too; every token has the last norm.

    The first token is CLIP's image before its projection (`pooling: first`), the others are the
    patches.

    Args:
        dim: width D of the tokens.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        patch: pixels a side of a patch, in an image of `size` a side, to which others are resized.
        stem: what makes a vector of a patch: "patches", one layer that is linear, or
            "convolutions" (`mmbench.zoo.encoders.stem`), which are not CLIP's and learn sooner.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, 3, H, W) uint8 -> (B, 1 + (size / patch)^2, D).
    """

    modality = "image"
    architectures = ("clip", "clip_vision_model")
    added_with = {
        "layers": 4,
        "heads": 4,
        "hidden": None,
        "patch": 8,
        "size": 64,
        "stem": "patches",
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
        stem: Literal["patches", "convolutions"] = "patches",
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModel

        def configuration() -> CLIPVisionConfig:
            return CLIPVisionConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                image_size=size,
                patch_size=patch_of(size, patch),
            )

        super().__init__(
            dim,
            CLIPVisionModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {
                **{"layers": layers, "heads": heads, "hidden": hidden},
                **{"patch": patch, "size": size, "stem": stem},
            },
            size=size,
        )
        if stem == "convolutions":
            embeddings: Any = self.network.embeddings
            embeddings.patch_embedding = ConvolutionalStem(self.features, patch)

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        found = network(pixel_values=self.pixels(x)).last_hidden_state
        return self.whole(network.post_layernorm(found))
