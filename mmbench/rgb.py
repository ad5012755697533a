"""Images in RGB of 8 bits, also those of one channel of 16 or 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of one channel above 8 bits


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB of 8 bits, where `Image.convert` cuts off all above 255.

    16-bit grey is divided by 256, which is what Pillow does with 16-bit colour. 32-bit grey, whose
    range no format tells, is scaled from the least of these that holds its values: 0 to 1 (numbers
    with a fraction), 0 to 255, 0 to 65,535, or else from its own least value to its largest.
    """
    if not is_deep(image):
        return image.convert("RGB")
    values = np.asarray(image)
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):  # "I" of old Pillow
        grey = values.astype(np.uint32) >> 8
    else:
        grey = _by_range(values.astype(np.float64), fractions=image.mode == "F")
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits, which `to_rgb` scales."""
    return image.mode in _DEEP


def _by_range(values: npt.NDArray[Any], fractions: bool) -> npt.NDArray[Any]:
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        scaled = (values - low) / max(high - low, np.finfo(np.float64).tiny) * 255
    elif fractions and high <= 1:
        scaled = values * 255
    else:
        scaled = values if high <= 255 else values / 256
    return np.clip(scaled, 0, 255)
