"""Opens the media of a split: decoded once into a memory-mapped array that later runs share.

What is decoded is found again by its content, so that a dataset that was moved is not decoded
anew. To know the content of files without reading all of them at every run, the cache remembers
it by the files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from mmbench.data.media import Array, MediaSet, cache_folder
from mmbench.data.reading import report_progress
from mmbench.data.stored import Stored
from mmbench.errors import MMBenchError

LARGEST_CACHE = 8_000_000_000  # bytes: a set that is larger when decoded is decoded on the fly
_SETTLED = 2.0  # seconds after which a change of a file changes its time for sure
_CHUNK = 256  # media decoded between two reports of progress

T = TypeVar("T")


class Unreadable(Exception):
    """A medium that cannot be used; says why."""


class Decoder(ABC):
    """How media of a modality become arrays of one shape.

    Attributes:
        modality: "image", "video" or "audio".
        dtype: of the values.
    """

    modality: ClassVar[str]
    dtype: ClassVar[type[np.generic]]
    version: ClassVar[int] = 1  # raised when what is decoded changes

    @property
    @abstractmethod
    def format(self) -> str:
        """What decides the values besides the content."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one medium."""

    @abstractmethod
    def decode(self, medium: Stored) -> Array:
        """The medium as an array of the shape.

        Raises: Unreadable, or OSError.
        """

    def digest(self, medium: Stored) -> bytes:
        """A hash of the medium's content, and of what decides its values besides the format.

        Raises: OSError if it cannot be read.
        """
        return medium.digest()

    def size(self, count: int) -> int:
        """Bytes of so many decoded media."""
        return count * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Opened:
    """What `open_media` found.

    Attributes:
        media: those that can be used, in their order.
        bad: by place, why another cannot.
    """

    media: MediaSet
    bad: dict[int, str]


class DecodedOnRead:
    """A row is decoded when it is read. For sets that are too large to be kept decoded."""

    def __init__(self, media: Sequence[Stored], decoder: Decoder) -> None:
        self._media = media
        self._decoder = decoder
        self.shape = (len(media), *decoder.shape)
        self.dtype = np.dtype(decoder.dtype)

    def __len__(self) -> int:
        return len(self._media)

    def __getitem__(self, row: int) -> Array:
        found = _decode(self._decoder, self._media[row])
        if isinstance(found, str):
            raise MMBenchError(found)
        return found


def open_media(media: Sequence[Stored], decoder: Decoder) -> Opened:
    """The media as one set, decoded now unless they are in the cache.

    Every medium is decoded once, also of a set that will be decoded on the fly: what is broken is
    known before anything is trained.

    Raises: MMBenchError if the cache cannot be written.
    """
    note = _Note(media, decoder)
    if (known := note.read()) is not None:
        bad = {int(place): str(why) for place, why in known["bad"].items()}
        values = _values(_without(media, bad), decoder, known["digest"])
        if values is not None:
            return Opened(MediaSet(values, known["digest"]), bad)

    digests = _digests(media, decoder)
    bad = {place: found for place, found in enumerate(digests) if isinstance(found, str)}
    checked = False
    while True:
        good = _without(media, bad)
        content = [found for found in _without(digests, bad) if isinstance(found, bytes)]
        digest = hashlib.sha256(decoder.format.encode() + b"".join(content)).hexdigest()
        values = _values(good, decoder, digest)
        if isinstance(values, np.ndarray) or checked:
            break
        broken = _decode_all(good, decoder, digest)
        places = _without(range(len(media)), bad)
        bad |= {places[place]: why for place, why in broken.items()}
        checked = isinstance(values, DecodedOnRead)
    assert values is not None
    note.write({"digest": digest, "bad": bad})
    return Opened(MediaSet(values, digest), bad)


def _without(values: Sequence[T], places: Collection[int]) -> list[T]:
    return [value for place, value in enumerate(values) if place not in places]


def _digests(media: Sequence[Stored], decoder: Decoder) -> list[bytes | str]:
    """A hash of each medium's content, or why there is none."""

    def digest(medium: Stored) -> bytes | str:
        try:
            return decoder.digest(medium)
        except OSError as error:
            return _cannot(decoder, medium, "read", error)

    return list(_each(digest, media, f"reading {decoder.modality}s"))


def _cached(decoder: Decoder, digest: str) -> Path:
    return cache_folder() / f"{decoder.modality}s" / f"{digest[:24]}.npy"


def _values(media: Sequence[Stored], decoder: Decoder, digest: str) -> Array | DecodedOnRead | None:
    """The media, where no decoding is needed to have them; else None."""
    if not media:
        return np.empty((0, *decoder.shape), decoder.dtype)
    if decoder.size(len(media)) > LARGEST_CACHE:
        return DecodedOnRead(media, decoder)
    cached = _cached(decoder, digest)
    return np.load(cached, mmap_mode="r") if cached.exists() else None


def _decode_all(media: Sequence[Stored], decoder: Decoder, digest: str) -> dict[int, str]:
    """Decode the media, into the cache if they fit and none is broken.

    They go into a temporary file that is then renamed: the cache never holds half an array.

    Returns: by place, why a medium is broken.
    """
    keep = decoder.size(len(media)) <= LARGEST_CACHE
    cached = _cached(decoder, digest)
    temporary = None
    bad = {}
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cached.parent))
        values = np.lib.format.open_memmap(
            temporary / "values.npy",
            mode="w+",
            dtype=decoder.dtype,
            shape=(len(media) if keep else 1, *decoder.shape),
        )
        decoded = _each(lambda m: _decode(decoder, m), media, f"decoding {decoder.modality}s")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata: what matters is an error
            for place, found in enumerate(decoded):
                if isinstance(found, str):
                    bad[place] = found
                elif keep:
                    values[place] = found
        if keep and not bad:
            values.flush()
            (temporary / "values.npy").rename(cached)
    except OSError as error:
        raise unwritable(cached.parent, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return bad


def _decode(decoder: Decoder, medium: Stored) -> Array | str:
    """The values, or why there are none."""
    try:
        return decoder.decode(medium)
    except (Unreadable, OSError) as error:
        return _cannot(decoder, medium, "decoded", error)


def _cannot(decoder: Decoder, medium: Stored, what: str, error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    return f"{decoder.modality} {medium} cannot be {what}: {why}"


def _each(function: Callable[[Any], T], values: Sequence[Any], what: str) -> Iterator[T]:
    """The function of each value, in order, on all cores; progress is told."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(values), _CHUNK):
            yield from pool.map(function, values[start : start + _CHUNK])
            report_progress(what, min(start + _CHUNK, len(values)), len(values))


class _Note:
    """What the cache remembers of files with these names, sizes and times."""

    def __init__(self, media: Sequence[Stored], decoder: Decoder) -> None:
        self._opened = time.time()
        self._changed = 0
        key = hashlib.sha256(f"{decoder.format} v{decoder.version}".encode())
        for medium in media:
            try:
                text, changed = medium.stamp()
                self._changed = max(self._changed, changed)
            except OSError:
                text = f"absent {medium}"
            key.update(f"\n{text}".encode())
        self._path = cache_folder() / "known" / f"{key.hexdigest()[:32]}.json"

    def read(self) -> dict[str, Any] | None:
        """What was written of the same files; None if nothing was."""
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    def write(self, value: dict[str, Any]) -> None:
        """Remember, unless a file is so new that a change might leave its time as it is."""
        if self._changed / 1e9 > self._opened - _SETTLED:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(value), encoding="utf-8")
            temporary.rename(self._path)
        except OSError as error:
            raise unwritable(self._path.parent, error) from None


def unwritable(folder: Path, error: OSError) -> MMBenchError:
    """What is raised where a folder of the cache cannot be written."""
    return MMBenchError(
        f"cannot write the cache {folder}: {error.strerror or error}. "
        "Make room there or set MMBENCH_CACHE to another folder."
    )
