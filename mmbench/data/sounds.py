"""Decodes sounds: one channel of 16 bits, of one rate and length."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbench.data.decoding import Decoder, Unreadable
from mmbench.data.media import Array
from mmbench.data.stored import Stored

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what a program writes that does not know it beforehand


@dataclass(frozen=True)
class SoundDecoder(Decoder):
    """WAV files as (rate x seconds,) int16: the mean of the channels, resampled.

    What is longer is cut off, what is shorter is followed by silence.

    Attributes:
        rate: samples a second.
        seconds: of each sound.
    """

    rate: int
    seconds: float

    modality: ClassVar[str] = "audio"
    dtype: ClassVar[type[np.generic]] = np.int16

    @property
    def format(self) -> str:
        return f"mono int16 {self.rate} Hz {self.seconds:g} s"

    @property
    def shape(self) -> tuple[int, ...]:
        return (round(self.rate * self.seconds),)

    def decode(self, medium: Stored) -> Array:
        rate, wave = _read_wav(medium.content())
        length = self.shape[0]
        wave = wave[: math.ceil(length * rate / self.rate)]
        if rate != self.rate:
            from scipy.signal import resample_poly

            common = math.gcd(rate, self.rate)
            wave = resample_poly(wave, self.rate // common, rate // common)
        values = np.zeros(length, np.int16)
        wave = np.clip(np.rint(wave[:length] * 32768), -32768, 32767)
        values[: len(wave)] = wave.astype(np.int16)
        return values


def _read_wav(content: bytes) -> tuple[int, Array]:
    """The rate in Hz, and the mean of the channels between -1 and 1 (S,)."""
    from scipy.io import wavfile

    if content[:4] == b"RIFF" and len(content) >= 8:
        size = int.from_bytes(content[4:8], "little") + 8
        if size > len(content) and size - 8 not in _UNKNOWN_SIZES:
            raise Unreadable(f"it is truncated: {len(content):,} of {size:,} bytes are there")
    try:
        rate, wave = wavfile.read(io.BytesIO(content))
    except Exception as error:  # scipy raises anything of damaged files
        raise Unreadable(f"it is not a WAV file that can be read: {error}") from None
    if not wave.size or rate < 1:
        raise Unreadable("it holds no sound")
    if not np.isfinite(wave).all():
        raise Unreadable("it holds values that are not numbers")
    return int(rate), _scaled(wave)


def _scaled(wave: Any) -> Array:
    if wave.dtype == np.uint8:
        wave = (wave.astype(np.float32) - 128) / 128
    elif wave.dtype.kind == "i":
        wave = wave.astype(np.float32) / -float(np.iinfo(wave.dtype).min)
    return wave.mean(axis=1) if wave.ndim == 2 else wave
