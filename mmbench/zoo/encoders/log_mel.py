"""What is heard of a sound: the logarithm of its power in bands of the mel scale, frame by frame.

Source: Davis and Mermelstein, Comparison of Parametric Representations for Monosyllabic Word
Recognition, 1980; numbers as Kaldi and the Audio Spectrogram Transformer use them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST = 1.192092955078125e-07  # power of a band, below which there is silence
_MEAN, _DEVIATION = -4.2677393, 4.5689974  # AudioSet's


class LogMel(nn.Module):
    """Log-mel spectrogram of sounds, normalised.

    Args:
        mels: bands.
        frame, hop: samples of a frame, and from each to the next.
        rate: samples a second.
    Shape: (B, S) int16 -> (B, frames, mels). What is shorter than a frame is followed by silence.
    """

    bands: Tensor
    window: Tensor

    def __init__(self, mels: int, frame: int, hop: int, rate: int) -> None:
        from transformers.audio_utils import mel_filter_bank

        super().__init__()
        for name, value in (("mels", mels), ("frame", frame), ("hop", hop), ("rate", rate)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self._frame, self._hop = frame, hop
        self._length = 1 << (frame - 1).bit_length()  # the next power of two
        bands = mel_filter_bank(
            num_frequency_bins=self._length // 2 + 1,
            num_mel_filters=mels,
            min_frequency=20.0,
            max_frequency=rate / 2,
            sampling_rate=rate,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("bands", torch.from_numpy(bands).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(frame), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        wave = functional.pad(x.float() / 32768, (0, max(0, self._frame - x.shape[1])))
        frames = wave.unfold(1, self._frame, self._hop)
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        power = torch.fft.rfft(frames, self._length).abs().square()
        found = (power @ self.bands).clamp(min=_LEAST).log()
        return (found - _MEAN) / (2 * _DEVIATION)
