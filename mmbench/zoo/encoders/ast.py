"""Audio Spectrogram Transformer: a log-mel spectrogram is a sequence of patches.

Source: Gong et al., AST: Audio Spectrogram Transformer, 2021 (arXiv 2104.01778), sec. 2.1;
transformers' `ASTModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmbench.errors import MMBenchError
from mmbench.zoo.encoders.huggingface import HuggingFaceEncoder
from mmbench.zoo.encoders.log_mel import LogMel
from mmbench.zoo.precision import in_float32
from mmbench.zoo.sounds import resampled
from mmbench.zoo.transformers_network import (
    NO_DROPOUT,
    LoRA,
    Start,
    read_preparation,
    transformer_sizes,
)


class AST(HuggingFaceEncoder):
    """Patches of a log-mel spectrogram, after two tokens apart, through blocks; h = norm(z_L).

    Args:
        dim: width D of the tokens.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        patch: frames and bands a side of a patch.
        stride: from each patch to the next; the paper's patches overlap by 6.
        mels: bands of the spectrogram.
        frames: that it reads at most; what is shorter is followed by silence.
        frame, hop: samples of a frame, and from each to the next.
        rate: samples a second of the sounds, by which the bands are placed. What a checkpoint reads
            is resampled to its own rate.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, S) int16, or of a checkpoint its spectrograms (B, frames, mels) as `read` gives them
        -> (B, 2 + patches, D).
    """

    modality = "audio"
    architectures = ("audio-spectrogram-transformer",)
    added_with = {
        "layers": 4,
        "heads": 4,
        "hidden": None,
        "patch": 16,
        "stride": 16,
        "mels": 64,
        "frames": 128,
        "frame": 400,
        "hop": 160,
        "rate": 16_000,
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
        patch: int = 16,
        stride: int = 16,
        mels: int = 64,
        frames: int = 128,
        frame: int = 400,
        hop: int = 160,
        rate: int = 16_000,
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import ASTConfig, ASTModel

        def configuration() -> ASTConfig:
            if min(patch, stride) < 1 or patch > min(mels, frames):
                raise ValueError(
                    f"patch and stride must be at least 1, and a patch no larger than {frames} "
                    f"frames of {mels} bands, got {patch} and {stride}"
                )
            return ASTConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                **NO_DROPOUT,
                patch_size=patch,
                frequency_stride=stride,
                time_stride=stride,
                num_mel_bins=mels,
                max_length=frames,
            )

        sizes = {"layers": layers, "heads": heads, "hidden": hidden, "patch": patch}
        sizes |= {"stride": stride, "mels": mels, "frames": frames, "frame": frame}
        super().__init__(
            dim,
            ASTModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            sizes | {"hop": hop, "rate": rate},
        )
        self._extractor: Any = None
        if self.checkpoint is None:
            self.spectrogram = LogMel(mels, frame, hop, rate)
            self._longest = frame + (frames - 1) * hop
        else:
            self._extractor = read_preparation(self.checkpoint, "feature extractor")

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        if self._extractor is None:
            return super().read(values)
        rate = self._extractor.sampling_rate
        waves = [resampled(value.array(), getattr(value, "rate", None), rate) for value in values]
        found = self._extractor(waves, sampling_rate=rate, return_tensors="np")
        return torch.from_numpy(np.stack(found["input_values"])).float(), None

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        if self._extractor is None:
            if x.shape[1] > self._longest:
                raise MMBenchError(
                    f"ast reads sounds of {self._longest} samples at most, and there is one of "
                    f"{x.shape[1]}: raise `frames`, or `hop`"
                )
            with in_float32(x.device):
                x = self.spectrogram(functional.pad(x, (0, self._longest - x.shape[1])))
        return self.whole(network(input_values=x).last_hidden_state)
