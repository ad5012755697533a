"""Decodes images: RGB, upright, of one size."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from mmbench.data.decoding import Decoder, Unreadable
from mmbench.data.media import Array
from mmbench.data.stored import Stored
from mmbench.errors import in_one_line
from mmbench.rgb import is_deep, to_rgb

SMALLEST = 2  # pixels a side
LARGEST = 80_000_000  # pixels: below the number that Pillow warns at
_ORIENTATION = 0x0112  # EXIF's tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Where none of these is in a file, it says nothing of a turn: most need not be decoded to know it.
_MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"tiff:Orientation", b"XML:com.adobe.xmp")


@dataclass(frozen=True)
class ImageDecoder(Decoder):
    """Images as (size, size, 3) uint8, RGB; resized bicubically where they are of another size.

    Attributes:
        pixels: a side.
    """

    pixels: int

    modality: ClassVar[str] = "image"
    dtype: ClassVar[type[np.generic]] = np.uint8
    version: ClassVar[int] = 2  # turned upright; deep grey scaled

    @property
    def format(self) -> str:
        return f"rgb uint8 {self.pixels} bicubic"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.pixels, self.pixels, 3)

    def decode(self, medium: Stored) -> Array:
        return decode_image(medium.content(), self.pixels)

    def digest(self, medium: Stored) -> bytes:
        """Of the content; another for an image that versions before 2 decoded otherwise."""
        content = medium.content()
        found = hashlib.sha256(content).digest()
        return (
            hashlib.sha256(found + b"upright, by its range").digest() if _is_odd(content) else found
        )


def decode_image(content: bytes, pixels: int) -> Array:
    """An encoded image as (pixels, pixels, 3) uint8, RGB, turned upright as its EXIF data say.

    A JPEG that is much larger is scaled down while it is decoded, to no less than twice the size.
    Grey values of 16 and 32 bits are scaled by their range (`to_rgb`).

    Raises: Unreadable if it is not an image, truncated, or absurdly large or small.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            _check_size(*image.size)
            image.draft("RGB", (2 * pixels, 2 * pixels))
            rgb = to_rgb(image)
            if (turn := turn_of(image)) is not None:
                rgb = rgb.transpose(turn)
    except Image.DecompressionBombError:
        raise Unreadable(f"it has more than {LARGEST:,} pixels") from None
    except Unreadable:
        raise
    except Exception as error:  # Pillow's decoders raise anything of damaged files
        raise Unreadable(in_one_line(error)) from None
    if rgb.size != (pixels, pixels):
        rgb = rgb.resize((pixels, pixels), Image.Resampling.BICUBIC)
    return np.asarray(rgb)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise Unreadable(f"it is {width:,} x {height:,}, more than {LARGEST:,} pixels")
    if min(width, height) < SMALLEST:
        raise Unreadable(f"it is {width} x {height} pixels, too small to show anything")


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How to turn a loaded image so that it is upright, by its EXIF data; None where it is.

    TIFF images, which Pillow turns itself, are upright once they are loaded.
    """
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises anything of damaged EXIF data, which then say nothing
        return None


def _is_odd(content: bytes) -> bool:
    """Whether an encoded image is turned, or deep, by its header."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            turns = image.format != "TIFF" and any(mark in content for mark in _MARKS)
            return is_deep(image) or (turns and turn_of(image) is not None)
    except Exception:  # it cannot be decoded, as `decode_image` will say
        return False
