"""Image sets, decoded once into a memory-mapped uint8 array that later runs share."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmbench.data.media import MediaSet, cache_folder
from mmbench.errors import MMBenchError

Pixels = npt.NDArray[np.uint8]


def open_images(paths: Sequence[Path], size: int) -> MediaSet:
    """The images at `paths`, resized to `size` pixels a side where they are not, decoded once.

    The cache is keyed by the files' content and the size, so a changed file is decoded anew.

    Raises: MMBenchError naming a file that is missing or cannot be decoded.
    """
    content = hashlib.sha256(f"rgb uint8 {size} bicubic".encode())
    for path in paths:
        try:
            content.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise MMBenchError(f"image {path} cannot be read: {error.strerror}") from None
    digest = content.hexdigest()
    cached = cache_folder() / "images" / f"{digest[:24]}.npy"
    if not cached.exists():
        _decode(paths, size, cached)
    return MediaSet(np.load(cached, mmap_mode="r"), digest)


def _decode(paths: Sequence[Path], size: int, cached: Path) -> None:
    """Decode into a temporary file and rename it, so that the cache never holds half an array."""
    folder = None
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=cached.parent))
        shape = (len(paths), size, size, 3)
        pixels = np.lib.format.open_memmap(
            folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape
        )
        for row, path in enumerate(paths):
            pixels[row] = _read_rgb(path, size)
        pixels.flush()
        del pixels
        (folder / "pixels.npy").rename(cached)
    except OSError as error:
        raise MMBenchError(
            f"cannot write the image cache {cached.parent}: {error.strerror or error}. "
            "Make room there or set MMBENCH_CACHE to another folder."
        ) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _read_rgb(path: Path, size: int) -> Pixels:
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MMBenchError(f"image {path} cannot be decoded: {error}") from None
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(rgb)
