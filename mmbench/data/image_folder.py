"""The images of a folder, decoded one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmbench.errors import MMBenchError

Pixels = npt.NDArray[np.uint8]


class ImageFolder(Sequence[Pixels]):
    """Images in the order of their files' names, decoded when they are asked for.

    Args:
        files: the images' files.
        size: pixels a side that images are resized to (bicubic); as they are by default.
    Raises: MMBenchError naming the file, when an image that cannot be decoded is asked for.
    """

    def __init__(self, files: Sequence[Path], size: int | None = None):
        self.files = list(files)
        self.size = size

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, row: int) -> Pixels: ...
    @overload
    def __getitem__(self, row: slice) -> ImageFolder: ...
    def __getitem__(self, row: int | slice) -> Pixels | ImageFolder:
        """The image (H, W, 3), uint8, RGB; or the folder of a slice."""
        if isinstance(row, slice):
            return ImageFolder(self.files[row], self.size)
        return _decode(self.files[row], self.size)


def read_images(folder: Path, size: int | None = None) -> ImageFolder:
    """The images of a folder, by name; files of other kinds and hidden ones are passed over.

    Every image is decoded once here, so that a damaged one is found before anything is computed.

    Raises: MMBenchError where the folder is absent, is no folder, holds no image, or holds one
        that is damaged or too large to decode safely.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise MMBenchError(f"image folder {folder} {what}")
    known = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in known and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise MMBenchError(f"image folder {folder} holds no images (png, jpg, webp, ...)")
    images = ImageFolder(files, size)
    for _ in images:
        pass
    return images


def _decode(file: Path, size: int | None) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                rgb = image.convert("RGB")
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise MMBenchError(f"image {file} cannot be decoded: {error}") from None
    if size is not None and rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(rgb)
