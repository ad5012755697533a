"""Decodes videos: frames evenly spread over the whole, as images of one size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from mmbench.data.decoding import Decoder, Unreadable
from mmbench.data.images import decode_image
from mmbench.data.media import Array
from mmbench.data.stored import Clip, File, Frames, Stored
from mmbench.errors import MMBenchError


@dataclass(frozen=True)
class VideoDecoder(Decoder):
    """Videos as (frames, size, size, 3) uint8: the middle frame of each of equally long pieces.

    A folder of images is read as it is; a video file needs the package `av`.

    Attributes:
        frames: how many; a video with fewer shows some of them more than once.
        pixels: a side.
    """

    frames: int
    pixels: int

    modality: ClassVar[str] = "video"
    dtype: ClassVar[type[np.generic]] = np.uint8

    @property
    def format(self) -> str:
        return f"rgb uint8 {self.frames} x {self.pixels} bicubic"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.frames, self.pixels, self.pixels, 3)

    def decode(self, medium: Stored) -> Array:
        """Raises: also MMBenchError, for a video file where `av` is not installed."""
        if isinstance(medium, Frames):
            files = medium.frames()
            if not files:
                raise Unreadable("the folder holds no frames: .jpg, .jpeg or .png")
            chosen = _spread(len(files), self.frames)
            return np.stack([decode_image(files[i].read_bytes(), self.pixels) for i in chosen])
        if isinstance(medium, Clip) and not 0 <= medium.start < medium.end:
            raise Unreadable("the clip ends before it begins")
        return _decode_file(medium, self.frames, self.pixels)


def _spread(count: int, wanted: int) -> list[int]:
    """The places of so many of `count` things, evenly spread.

    >>> _spread(8, 4)
    [1, 3, 5, 7]
    >>> _spread(2, 4)
    [0, 0, 1, 1]
    """
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def _decode_file(medium: Stored, frames: int, pixels: int) -> Array:
    try:
        import av
    except ImportError:
        raise MMBenchError(
            f"{medium} is a video file: `pip install av` brings what decodes it, or make it a "
            "folder of the same name without suffix with a .jpg for every frame"
        ) from None
    path = medium.path if isinstance(medium, File | Clip) else None
    try:
        with av.open(str(path) if path else io.BytesIO(medium.content())) as container:
            if not container.streams.video:
                raise Unreadable("it has no pictures")
            found = _frames(container, medium, frames)
    except OverflowError as error:  # a time that no video has
        raise Unreadable(str(error)) from None
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # it cannot be read: its content is not at fault
            raise
        raise Unreadable(error.strerror or str(error)) from None
    return np.stack([_resized(image, pixels) for image in found])


def _frames(container: Any, medium: Stored, wanted: int) -> list[Image.Image]:
    """The frames that are shown at evenly spread times."""
    stream = container.streams.video[0]
    begin = float((stream.start_time or 0) * stream.time_base)
    if isinstance(medium, Clip):
        start, end = medium.start, medium.end
        container.seek(int((begin + start) * 1_000_000))
    else:
        start, end = 0.0, float(container.duration or 0) / 1_000_000
    times = [start + (2 * i + 1) * (end - start) / (2 * wanted) for i in range(wanted)]
    found: list[Image.Image] = []
    shown = None
    for frame in container.decode(stream):
        time = float(frame.time or 0) - begin
        while len(found) < wanted and time > times[len(found)]:
            found.append((frame if shown is None else shown).to_image())
        if len(found) == wanted:
            return found
        shown = frame
    if shown is None or float(shown.time or 0) - begin < start - 1:
        raise Unreadable("there are no pictures at this time")
    return found + [shown.to_image()] * (wanted - len(found))


def _resized(image: Image.Image, pixels: int) -> Array:
    return np.asarray(image.resize((pixels, pixels), Image.Resampling.BICUBIC))
