"""A small convolutional audio encoder over log-mel spectrograms, trained from nothing.

Source: Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017
(arXiv 1609.09430): a spectrogram is an image; strided convolutions in place of pooling, as `conv`.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.encoders.log_mel import LogMel
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Stream


class AudioConv(Encoder):
    """Strided 3x3 convolutions over time and frequency; every moment of the last map is a token.

    What is heard at a moment, at all frequencies, is joined into its token.

    Args:
        dim: width D of the tokens.
        channels: of the layers, each of which halves time and frequency.
        mels: bands of the spectrogram.
        frame, hop: samples of a frame, and from each to the next.
        rate: samples a second of the sounds, by which the bands are placed.
    Shape: (B, S) int16 -> (B, frames / 2^n, D) for n layers.
    """

    modality = "audio"

    added_with = {
        "channels": (32, 64),
        "mels": 64,
        "frame": 400,
        "hop": 160,
        "rate": 16_000,
    }

    def __init__(
        self,
        dim: int,
        channels: tuple[int, ...] = (32, 64),
        mels: int = 64,
        frame: int = 400,
        hop: int = 160,
        rate: int = 16_000,
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be one or more positive numbers, got {channels}")
        self.dim = dim
        self.spectrogram = LogMel(mels, frame, hop, rate)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([1, *channels]):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
            ]
            mels = -(-mels // 2)
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(channels[-1] * mels, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        with in_float32(x.device):
            heard = self.spectrogram(x)
        features = self.layers(heard[:, None])  # (B, C, t, f)
        return Stream.whole(self.project(features.transpose(1, 2).flatten(2)))
