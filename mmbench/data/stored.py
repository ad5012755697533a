"""Where a medium is stored: in a file, in a part of one, in a folder of frames."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_BLOCK = 1 << 20  # bytes read at once


class Stamp(NamedTuple):
    """What changes when a medium's content does.

    Attributes:
        text: names, sizes and times.
        changed: the latest time, in nanoseconds since 1970.
    """

    text: str
    changed: int


class Stored(ABC):
    """An encoded medium: a JPEG, a WAV, a video."""

    @abstractmethod
    def __str__(self) -> str:
        """What a message calls it."""

    @abstractmethod
    def stamp(self) -> Stamp:
        """Changes when the content does; cheap, without reading it.

        Raises: OSError if it is not there.
        """

    @abstractmethod
    def content(self) -> bytes:
        """Its bytes.

        Raises: OSError if it cannot be read.
        """

    def digest(self) -> bytes:
        """SHA-256 of its content."""
        return hashlib.sha256(self.content()).digest()


@dataclass(frozen=True)
class File(Stored):
    """A file of its own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def stamp(self) -> Stamp:
        return _stamp(self.path)

    def content(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class FilePart(Stored):
    """Bytes within a file, such as a member of a tar archive.

    Attributes:
        path: the file.
        name: the member's.
        offset, size: where its bytes are.
    """

    path: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"

    def stamp(self) -> Stamp:
        return _stamp(self.path, f" {self.offset} {self.size}")

    def content(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class Frames(Stored):
    """A video as a folder with an image a frame, in the order of their names."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def frames(self) -> list[Path]:
        """The files of the frames: .jpg, .jpeg or .png."""
        return sorted(
            p for p in self.path.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")
        )

    def stamp(self) -> Stamp:
        stamps = [_stamp(self.path), *map(_stamp, self.frames())]
        return Stamp("\n".join(s.text for s in stamps), max(s.changed for s in stamps))

    def content(self) -> bytes:
        """All frames' bytes, one after the other."""
        return b"".join(frame.read_bytes() for frame in self.frames())


@dataclass(frozen=True)
class Clip(Stored):
    """A piece of a video file.

    Attributes:
        path: the file.
        start, end: of the piece, in seconds.
    """

    path: Path
    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.path} ({self.start:g} s to {self.end:g} s)"

    def stamp(self) -> Stamp:
        return _stamp(self.path, f" {self.start!r} {self.end!r}")

    def content(self) -> bytes:
        """The whole file's bytes: a piece of a video cannot be cut out without decoding it."""
        return self.path.read_bytes()

    def digest(self) -> bytes:
        """SHA-256 of the file's content, which many clips share, and of the piece's ends."""
        whole = _file_digest(self.path, _stamp(self.path))
        return hashlib.sha256(whole + f"{self.start!r} {self.end!r}".encode()).digest()


def stored_video(path: Path) -> Stored:
    """The video at a path: a file, or a folder of frames.

    Where there is no such file but a folder of the same name without its suffix, as
    `video0/` beside the absent `video0.mp4`, that folder holds the frames.
    """
    if os.path.isdir(path):  # unlike the methods of Path, these raise nothing
        return Frames(path)
    if not os.path.exists(path) and path.suffix and os.path.isdir(path.with_suffix("")):
        return Frames(path.with_suffix(""))
    return File(path)


def _stamp(path: Path, part: str = "") -> Stamp:
    status = os.stat(path)
    # The time of the last change of any kind, and the file's number, tell of a file that was put in
    # the place of another with its size and time of writing, as `cp -p` and `rsync -t` do.
    seen = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    text = f"{path.absolute()} {' '.join(map(str, seen))}{part}"
    return Stamp(text, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: Path, stamp: Stamp) -> bytes:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            content.update(block)
    return content.digest()
