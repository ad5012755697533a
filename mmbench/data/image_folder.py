"""Reads the images of a folder, such as generated ones to be scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, by name.

    Attributes:
        names: of the files, sorted.
        images: (H, W, 3) uint8 arrays, RGB, each of its own size.
        sha256: of names and pixels.
    """

    names: Sequence[str]
    images: Sequence[npt.NDArray[np.uint8]]
    sha256: str


def read_image_folder(folder: Path) -> ImageFolder:
    """Decode every image in a folder; other files and folders in it are left alone.

    Raises: MMBenchError if there is no such folder or no image in it, or for images that are
        truncated or none at all (how many, the first five).
    """
    from PIL import Image

    if not folder.is_dir():
        raise MMBenchError(f"{folder} is no folder of images")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise MMBenchError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    images, bad = [], []
    content = hashlib.sha256()
    for path in paths:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            bad.append(f"{path.name} ({error})")
            continue
        content.update(f"{path.name}{pixels.shape}".encode())
        content.update(pixels.tobytes())
        images.append(pixels)
    if bad:
        which = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise MMBenchError(f"{folder}: {len(bad)} of {len(paths)} images cannot be read: {which}")
    return ImageFolder([path.name for path in paths], images, content.hexdigest())
