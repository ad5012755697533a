"""Media of a split, small enough for a page: thumbnails, strips of frames, spectrograms, sounds.

How small is decided by what fits: a few media are tried at each step of a ladder, the best one
first, and the first step at which all of them would fit is taken for all.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmbench.reports.page.packing import in_base64

Array = npt.NDArray[Any]

_TRIED = 32  # media that a step of a ladder is tried on
_LOSSLESS = 101  # a quality beyond all
# Pixels a side and quality of WebP; frames before them.
_PICTURES = ((96, _LOSSLESS), (96, 80), (96, 60), (96, 40), (72, 40), (60, 40), (48, 35), (32, 30))
_STRIPS = ((6, 72, _LOSSLESS), (6, 72, 70), (6, 56, 50), (5, 48, 40), (4, 40, 35), (3, 32, 30))
_SOUNDS = (8_000, 4_000, 2_000, 0)  # samples a second; 0 for a spectrogram alone
_SPECTROGRAM = (160, 64)  # pixels
_GAP = 2  # pixels between frames
_SILENCE = -60.0  # dB: what is not louder anywhere is drawn dark


class Medium(Protocol):
    """An image (H, W, 3) or video (T, H, W, 3), uint8, or a sound (S,) int16."""

    def array(self) -> Array:
        """Its values."""


@dataclass(frozen=True)
class ImageFile:
    """An image that a record keeps as a file's bytes."""

    content: bytes

    def array(self) -> Array:
        """Its pixels, (H, W, 3) uint8."""
        return np.asarray(Image.open(io.BytesIO(self.content)).convert("RGB"))


class Shown(NamedTuple):
    """A medium in a page.

    Attributes:
        picture: a WebP file.
        sound: a WAV file; None where there is none, or it was too large.
    """

    picture: bytes
    sound: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.picture) + len(self.sound or b"")


@dataclass
class Pool:
    """The files of a sample set's media, each once, as a page keeps them.

    Attributes:
        files: in base64, after a letter for the type: `p` for WebP, `s` for WAV.
    """

    files: list[str] = field(default_factory=list)

    def add(self, letter: str, content: bytes) -> int:
        """The place of a file."""
        self.files.append(letter + in_base64(content))
        return len(self.files) - 1

    def text(self) -> str:
        """All of them."""
        return " ".join(self.files)


def shown(media: Sequence[Medium], modality: str, rate: int, room: float) -> list[Shown]:
    """Media as a page shows them.

    Args:
        media: of one modality.
        modality: "image", "video" or "audio".
        rate: of sounds, samples a second.
        room: bytes that each may take on average.
    """
    makers: list[Callable[[Array], Shown]]
    if modality == "audio":
        makers = [partial(_sound, rate=rate, wanted=wanted) for wanted in _SOUNDS]
    elif modality == "video":
        makers = [partial(_strip, frames=f, side=s, quality=q) for f, s, q in _STRIPS]
    else:
        makers = [partial(_picture, side=s, quality=q) for s, q in _PICTURES]
    tried = np.unique(np.linspace(0, len(media) - 1, _TRIED).astype(int))
    arrays = [media[place].array() for place in tried]

    def size(make: Callable[[Array], Shown]) -> float:
        return float(np.mean([make(array).size for array in arrays]))

    if modality != "audio" and size(makers[0]) > size(makers[1]):
        del makers[0]  # what is no drawing is larger without loss
    chosen = next((make for make in makers if size(make) <= room), makers[-1])
    return [chosen(medium.array()) for medium in media]


def thumbnail(pixels: Array, side: int, quality: int) -> bytes:
    """An image (H, W, 3) as a WebP file of at most so many pixels a side."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return webp(image, quality)


def webp(image: Image.Image, quality: int) -> bytes:
    """The image as a WebP file."""
    file = io.BytesIO()
    exact = quality == _LOSSLESS
    image.save(file, "WEBP", method=4, lossless=exact, quality=50 if exact else quality)
    return file.getvalue()


def _picture(pixels: Array, side: int, quality: int) -> Shown:
    return Shown(thumbnail(pixels, side, quality))


def _strip(video: Array, frames: int, side: int, quality: int) -> Shown:
    """Frames of a video, evenly spread, side by side."""
    places = [(2 * i + 1) * len(video) // (2 * frames) for i in range(frames)]
    chosen = [Image.fromarray(video[place]) for place in places]
    for frame in chosen:
        frame.thumbnail((side, side), Image.Resampling.LANCZOS)
    width, height = chosen[0].size
    strip = Image.new("RGB", (frames * (width + _GAP) - _GAP, height), "white")
    for place, frame in enumerate(chosen):
        strip.paste(frame, (place * (width + _GAP), 0))
    return Shown(webp(strip, quality))


def _sound(wave: Array, rate: int, wanted: int) -> Shown:
    picture = webp(spectrogram(wave, rate), 60)
    return Shown(picture, wav(wave, rate, wanted) if wanted else None)


def wav(wave: Array, rate: int, wanted: int) -> bytes:
    """A sound (S,) int16 as a WAV file of 8 bits, of at most so many samples a second."""
    values = wave.astype(np.float32) / 32768
    if rate > wanted:
        from scipy.signal import resample_poly

        common = math.gcd(rate, wanted)
        values, rate = resample_poly(values, wanted // common, rate // common), wanted
    content = np.clip(np.rint(values * 127 + 128), 0, 255).astype(np.uint8).tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    content = form + struct.pack("<4sI", b"data", len(content)) + content
    content += b"\0" * (len(content) % 2)
    return struct.pack("<4sI4s", b"RIFF", len(content) + 4, b"WAVE") + content


def spectrogram(wave: Array, rate: int) -> Image.Image:
    """A sound (S,) int16 as a picture: time to the right, frequency upwards, 60 dB of loudness."""
    from matplotlib import colormaps
    from scipy.signal import spectrogram as power_of

    width, height = _SPECTROGRAM
    window = min(256, len(wave))
    step = max(1, (len(wave) - window) // width)
    _, _, power = power_of(
        wave.astype(np.float32) / 32768, rate, nperseg=window, noverlap=max(0, window - step)
    )
    loudness = 10 * np.log10(power + 1e-12)
    top = max(float(loudness.max()), _SILENCE)
    share = np.clip((loudness - top + 60) / 60, 0, 1)
    colours = colormaps["magma"](share[::-1], bytes=True)[..., :3]
    return Image.fromarray(np.ascontiguousarray(colours)).resize((width, height))
