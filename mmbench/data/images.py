"""Decodes images: RGB, of one size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from mmbench.data.decoding import Decoder, Unreadable
from mmbench.data.media import Array
from mmbench.data.stored import Stored

SMALLEST = 2  # pixels a side
LARGEST = 80_000_000  # pixels: below the number that Pillow warns at


@dataclass(frozen=True)
class ImageDecoder(Decoder):
    """Images as (size, size, 3) uint8, RGB; resized bicubically where they are of another size.

    Attributes:
        pixels: a side.
    """

    pixels: int

    modality: ClassVar[str] = "image"
    dtype: ClassVar[type[np.generic]] = np.uint8

    @property
    def format(self) -> str:
        """See `Decoder`."""
        return f"rgb uint8 {self.pixels} bicubic"

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Decoder`."""
        return (self.pixels, self.pixels, 3)

    def decode(self, medium: Stored) -> Array:
        """See `Decoder`."""
        return decode_image(medium.content(), self.pixels)


def decode_image(content: bytes, pixels: int) -> Array:
    """An encoded image as (pixels, pixels, 3) uint8, RGB.

    A JPEG that is much larger is scaled down while it is decoded, to no less than twice the size.

    Raises: Unreadable if it is no image, truncated, or absurdly large or small.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            _check_size(*image.size)
            image.draft("RGB", (2 * pixels, 2 * pixels))
            rgb = image.convert("RGB")
    except Image.DecompressionBombError:
        raise Unreadable(f"it has more than {LARGEST:,} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Unreadable(str(error)) from None
    if rgb.size != (pixels, pixels):
        rgb = rgb.resize((pixels, pixels), Image.Resampling.BICUBIC)
    return np.asarray(rgb)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise Unreadable(f"it is {width:,} x {height:,}, more than {LARGEST:,} pixels")
    if min(width, height) < SMALLEST:
        raise Unreadable(f"it is {width} x {height} pixels, too small to show anything")
