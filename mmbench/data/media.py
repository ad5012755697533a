"""Media: images, videos and sounds of a split as memory-mapped arrays, and references into them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]


class OnTheFly(Protocol):
    """Media that are too large to be kept decoded: an array that is only read row by row."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, row: int) -> Array:
        """One of them, decoded now."""


@dataclass(frozen=True)
class MediaSet:
    """Media of one modality and one size, by row.

    Attributes:
        values: memory-mapped, or decoded whenever a row is read (`OnTheFly`). Images are
            (M, H, W, 3) uint8, RGB; videos (M, T, H, W, 3) uint8; sounds (M, S) int16, one channel.
        digest: a hash of their content.
        rate: of sounds, samples a second; None where it is not known.
    """

    values: Array | OnTheFly
    digest: str
    rate: int | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class MediaRef:
    """One medium of a set: what a sample holds, so that an image shared by many is stored once."""

    media: MediaSet = field(repr=False, hash=False, compare=False)
    set_digest: str
    row: int

    def array(self) -> Array:
        """Its values: of an image, (H, W, 3) uint8, RGB."""
        return self.media.values[self.row]

    @property
    def rate(self) -> int | None:
        """Of a sound, samples a second."""
        return self.media.rate

    def pil(self) -> Image.Image:
        """An image as a PIL image, for models with a processor of their own."""
        return Image.fromarray(self.array())


def mapped(path: Path) -> Array:
    """The array in a .npy file, mapped into memory: what is written into it reaches no file.

    A plain array and no memmap, since rows of one are quicker.
    """
    return np.asarray(np.load(path, mmap_mode="c"))


def media_of(value: Any) -> tuple[MediaRef, ...]:
    """The media that an input of a sample is: one, several, or, of a text, none."""
    if isinstance(value, MediaRef):
        return (value,)
    several = isinstance(value, tuple) and bool(value) and isinstance(value[0], MediaRef)
    return value if several else ()


class Together(list[MediaRef]):
    """Media whose values lie one behind the other.

    Attributes:
        arrays: (N, ...), the values of all.
    """

    def __init__(self, media: Iterable[MediaRef], arrays: Array) -> None:
        super().__init__(media)
        self.arrays = arrays


def at_hand(values: Sequence[Any]) -> Sequence[Any]:
    """The values; media that are decoded on the fly are decoded now, side by side in threads.

    Args:
        values: of one modality: media of one set, or texts.
    Returns: `Together` where the media lie one behind the other, as they do in a dataset's order.
    """
    if len(values) < 2 or not isinstance(values[0], MediaRef):
        return values
    media = values[0].media
    if isinstance(media.values, np.ndarray):
        rows = [value.row for value in values]
        in_order = rows == list(range(rows[0], rows[0] + len(rows)))
        return Together(values, media.values[rows[0] : rows[-1] + 1]) if in_order else values
    arrays = np.stack(list(_threads().map(MediaRef.array, values)))
    here = MediaSet(arrays, media.digest, media.rate)
    return Together([MediaRef(here, here.digest, row) for row in range(len(arrays))], arrays)


@lru_cache(1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="decode")
