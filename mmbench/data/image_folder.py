"""Reads sets of images, such as generated ones to be scored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmbench.data.prediction_files import TABLES, read_table
from mmbench.errors import MMBenchError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class ImageFolder:
    """A set of images, by name.

    Attributes:
        names: of the files, sorted; or the ids of a table.
        images: (H, W, 3) uint8 arrays, RGB, each of its own size.
        sha256: of names and pixels.
    """

    names: Sequence[str]
    images: Sequence[npt.NDArray[np.uint8]]
    sha256: str


def read_images(path: Path, column: str) -> ImageFolder:
    """Decode the images of a folder, or those that a table names.

    Args:
        path: a folder (other files and folders in it are left alone), or a table (.jsonl,
            .parquet) with the columns `id` and the one named, which holds paths beside the table.
        column: of a table.
    Raises: MMBenchError if there is no such folder or no image in it, or for images that are
        absent, truncated or none at all (how many, the first five).
    """
    if path.suffix in TABLES and path.is_file():
        rows = read_table(path, ("id", column))
        if not rows:
            raise MMBenchError(f"{path} names no images")
        return _decoded(path, {str(row["id"]): path.parent / str(row[column]) for row in rows})
    if not path.is_dir():
        raise MMBenchError(f"{path} is no folder of images")
    paths = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise MMBenchError(f"{path} holds no images ({', '.join(SUFFIXES)})")
    return _decoded(path, {p.name: p for p in paths})


def _decoded(folder: Path, paths: Mapping[str, Path]) -> ImageFolder:
    from PIL import Image

    images, bad = [], []
    content = hashlib.sha256()
    for name, path in paths.items():
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            bad.append(f"{path.name} ({error})")
            continue
        content.update(f"{name}{pixels.shape}".encode())
        content.update(pixels.tobytes())
        images.append(pixels)
    if bad:
        which = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise MMBenchError(f"{folder}: {len(bad)} of {len(paths)} images cannot be read: {which}")
    return ImageFolder(list(paths), images, content.hexdigest())
