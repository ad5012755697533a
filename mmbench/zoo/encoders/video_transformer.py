"""A Transformer over tubelets of a video: patches of a few frames, which all see each other.

Source: Tong et al., VideoMAE, 2022 (arXiv 2203.12602), sec. 3.1 and 3.4: joint attention over space
and time; tubelets: Arnab et al., ViViT, 2021 (arXiv 2103.15691), sec. 3.2; transformers'
`VideoMAEModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.zoo.encoders.huggingface import HuggingFaceVision, patch_of
from mmbench.zoo.transformers_network import (
    NO_DROPOUT,
    LoRA,
    Start,
    transformer_sizes,
    unit_start,
)


class VideoTransformer(HuggingFaceVision):
    """Tubelets of a video and their places through blocks of joint attention; h = norm(z_L).

    Args:
        dim: width D of the tokens.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        patch: pixels a side of a tubelet, in frames of `size` a side, to which others are resized.
        frames: that it reads, evenly spread over the video.
        tubelet: frames of a tubelet.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, T, 3, H, W) uint8 -> (B, frames / tubelet * (size / patch)^2, D).
    """

    modality = "video"
    version = 2  # 1 began at the deviation of a network of width 768
    architectures = ("videomae",)
    added_with = {
        "layers": 4,
        "heads": 4,
        "hidden": None,
        "patch": 8,
        "size": 32,
        "frames": 16,
        "tubelet": 2,
        "pretrained": None,
        "revision": None,
        "unfreeze": "none",
        "lora": None,
    }
    at_once = 2

    def __init__(
        self,
        dim: int,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        patch: int = 8,
        size: int = 32,
        frames: int = 16,
        tubelet: int = 2,
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import VideoMAEConfig, VideoMAEModel

        def configuration() -> VideoMAEConfig:
            if tubelet < 1 or frames < tubelet or frames % tubelet:
                raise ValueError(f"tubelet must divide the {frames} frames, got {tubelet}")
            return VideoMAEConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                **NO_DROPOUT,
                **unit_start(dim, hidden),
                image_size=size,
                patch_size=patch_of(size, patch),
                num_frames=frames,
                tubelet_size=tubelet,
                use_mean_pooling=False,
            )

        super().__init__(
            dim,
            VideoMAEModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {
                "layers": layers,
                "heads": heads,
                "hidden": hidden,
                "patch": patch,
                "size": size,
                "frames": frames,
                "tubelet": tubelet,
            },
            size=size,
        )

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """The frames that it reads (B, frames, 3, H, W) uint8."""
        if self._processor is None:
            return super().read(values)
        videos = [value.array() for value in values]
        return torch.stack([self._prepared(v[self._chosen(len(v))]) for v in videos]), None

    def _chosen(self, count: int) -> list[int]:
        """Which of so many frames it reads."""
        return np.linspace(0, count - 1, self.config.num_frames).round().astype(int).tolist()

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        frames = self.pixels(x[:, self._chosen(x.shape[1])])
        return self.whole(network(pixel_values=frames).last_hidden_state)
