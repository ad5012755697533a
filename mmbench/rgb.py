"""Images in RGB of 8 bits, also those of one channel of 16 or 32 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of one channel above 8 bits
_SAMPLE_FORMAT = 339  # TIFF's tag


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB of 8 bits, where `Image.convert` cuts off all above 255.

    16-bit grey is divided by 256, which is what Pillow does with 16-bit colour. 32-bit grey, whose
    range no format tells, has that of the fewest bytes that hold its values: one, two or four.
    Numbers with a fraction may also range from 0 to 1. Values that lie otherwise, such as negative
    ones, range from the image's own least to its largest.
    """
    if not is_deep(image):
        return image.convert("RGB")
    values = np.asarray(image)
    if image.mode == "I" and _is_unsigned(image):
        values = values.view(np.uint32)
    values = values.astype(np.float64)
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):  # "I" of old Pillow
        grey = np.floor(values / 2**8)
    else:
        grey = _by_range(values, fractions=image.mode == "F")
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits, which `to_rgb` scales."""
    return image.mode in _DEEP


def _is_unsigned(image: Image.Image) -> bool:
    """Whether a TIFF image's numbers have no sign, which Pillow's have."""
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, (1,)) == (1,)


def _by_range(values: npt.NDArray[np.float64], fractions: bool) -> npt.NDArray[np.float64]:
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if fractions and low >= 0 and high <= 1:
        return np.rint(values * 255)
    if low >= 0 and high < 2**16:
        return np.floor(values if high < 2**8 else values / 2**8)
    if low >= 0 and 2**24 <= high < 2**32:
        return np.floor(values / 2**24)
    return np.rint((values - low) / ((high - low) or 1.0) * 255)
