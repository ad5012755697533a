"""A small Transformer over the frames of a spectrogram, trained from nothing.

Source: Gong et al., AST: Audio Spectrogram Transformer, 2021 (arXiv 2104.01778), with frames of
the whole frequency range as patches; positions that start as sines and cosines: Vaswani et al.,
Attention Is All You Need, 2017 (arXiv 1706.03762), sec. 3.5; pre-norm blocks as in Xiong et al.
2020 (arXiv 2002.04745).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.errors import MMBenchError
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream

_SILENCE = 1e-4  # added to magnitudes before their logarithm


class AudioTransformer(Encoder):
    """Log-magnitude spectrum of each frame, projected, with its position, through self-attention.

    Args:
        dim: width D of the tokens.
        frame: samples in a frame; frames do not overlap, and a rest is dropped.
        layers: Transformer blocks.
        heads: of their attention.
        longest: the most frames that it takes.
    Shape: (B, S) int16 -> (B, S // frame, D).
    """

    modality = "audio"

    added_with = {"frame": 200, "layers": 2, "heads": 4, "longest": 1024}

    def __init__(
        self, dim: int, frame: int = 200, layers: int = 2, heads: int = 4, longest: int = 1024
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads must divide the width {dim}, got {heads}")
        if min(frame, layers, longest) < 1:
            raise ValueError("frame, layers and longest must be at least 1")
        self.dim = dim
        self.frame = frame
        self.register_buffer("window", torch.hann_window(frame), persistent=False)
        self.project = nn.Linear(frame // 2 + 1, dim)
        self.position = nn.Parameter(waves(longest, dim))
        block = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(dim), False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Stream:
        """The stream of the frames.

        Raises: MMBenchError for sounds of more frames than `longest`, or shorter than one.
        """
        count, longest = x.shape[1] // self.frame, len(self.position)
        if not 1 <= count <= longest:
            change = "raise `longest`" if count else "lower `frame`"
            raise MMBenchError(
                f"audio_transformer reads sounds of 1 to {longest} frames of {self.frame} samples, "
                f"and there is one of {x.shape[1]} samples: {change}"
            )
        frames = x[:, : count * self.frame].unflatten(1, (count, self.frame)).float() / 32768
        spectrum = torch.fft.rfft(frames * self.window).abs()
        tokens = self.project((spectrum + _SILENCE).log()) + self.position[:count]
        tokens = self.blocks(tokens)
        return Stream.whole(tokens)


def waves(length: int, dim: int) -> Tensor:
    """Sines and cosines of each place, (length, dim), of wavelengths from 2 pi to 20,000 pi."""
    turns = torch.arange(length)[:, None] * 1e-4 ** (torch.arange(0, dim, 2) / dim)  # (length, D/2)
    return torch.stack([turns.sin(), turns.cos()], 2).flatten(1)[:, :dim]
