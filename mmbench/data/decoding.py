"""Opens the media of a split: decoded once into a memory-mapped array that later runs share.

What is decoded is found again by its content, so that a dataset that was moved is not decoded
anew. To know the content of files without reading all of them at every run, the cache remembers
it by the files' names, sizes and times.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from mmbench.data.cache import (
    Damaged,
    cache_folder,
    discard,
    is_whole,
    making,
    read_note,
    sealing,
    unwritable,
    write_note,
)
from mmbench.data.media import Array, MediaSet, mapped
from mmbench.data.reading import report_progress
from mmbench.data.stored import Stored
from mmbench.errors import MMBenchError

LARGEST_MEDIUM = 500_000_000  # bytes: an image of 12,900 pixels a side
LARGEST_CACHE = 8_000_000_000  # bytes: a set that is larger when decoded is decoded on the fly
_SETTLED = 2.0  # seconds after which a change of a file changes its time for sure
_CHUNK = 256  # media decoded between two reports of progress
_HEADER = 128  # bytes of an .npy file before its values, mostly

T = TypeVar("T")


class Unreadable(Exception):
    """The content of a medium cannot be used; says why. It will not be better another time."""


class Failure(NamedTuple):
    """A medium that cannot be used.

    Attributes:
        why: for a person.
        lasting: whether its content is at fault. A file that could not be read today may be there
            tomorrow: that is never kept.
    """

    why: str
    lasting: bool


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

        Raises: Unreadable if its content is at fault, OSError if it cannot be read.
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
        if isinstance(found, Failure):
            raise MMBenchError(found.why)
        return found


def open_media(media: Sequence[Stored], decoder: Decoder) -> Opened:
    """The media as one set, decoded now unless they are in the cache.

    Every medium is decoded once, also of a set that will be decoded on the fly: what is broken is
    known before anything is trained.

    Raises: MMBenchError if the cache cannot be written, or the decoder's shape is absurd.
    """
    if decoder.size(1) > LARGEST_MEDIUM:
        size = f"{decoder.size(1) / 1e9:,.1f} GB"
        raise MMBenchError(
            f"one {decoder.modality} of shape {decoder.shape} takes {size}, "
            f"more than {LARGEST_MEDIUM / 1e9:g} GB: lower image_size, frames or seconds"
        )
    rate = getattr(decoder, "rate", None)  # of sounds
    note = _Note(media, f"{decoder.format} v{decoder.version}")
    if (known := note.read()) is not None:
        bad = {int(place): str(why) for place, why in known["bad"].items()}
        values = _values(_without(media, bad), decoder, known["digest"])
        if values is not None:
            return Opened(MediaSet(values, known["digest"], rate), bad)

    digests = _digests(media, decoder.modality, decoder.digest)
    failures = {place: found for place, found in enumerate(digests) if isinstance(found, Failure)}
    checked = False
    while True:
        good = _without(media, failures)
        content = [found for found in _without(digests, failures) if isinstance(found, bytes)]
        digest = hashlib.sha256(decoder.format.encode() + b"".join(content)).hexdigest()
        values = _values(good, decoder, digest)
        if isinstance(values, np.ndarray) or checked:
            break
        broken = _broken(good, decoder, digest, keeps=values is None)
        places = _without(range(len(media)), failures)
        failures |= {places[place]: found for place, found in broken.items()}
        checked = isinstance(values, DecodedOnRead)
    assert values is not None
    bad = {place: found.why for place, found in failures.items()}
    if all(found.lasting for found in failures.values()):
        note.write({"digest": digest, "bad": bad})
    return Opened(MediaSet(values, digest, rate), bad)


def contents(media: Sequence[Stored], modality: str) -> list[str | None]:
    """A hash of each medium's content, by which equal ones are known; None if it cannot be read.

    Raises: MMBenchError if the cache cannot be written.
    """
    note = _Note(media, "content")
    if (known := note.read()) is not None:
        return list(known["digests"])
    digests = _digests(media, modality, lambda medium: medium.digest())
    found = [digest.hex() if isinstance(digest, bytes) else None for digest in digests]
    if None not in found:
        note.write({"digests": found})
    return found


def _without(values: Sequence[T], places: Collection[int]) -> list[T]:
    return [value for place, value in enumerate(values) if place not in places]


def _digests(
    media: Sequence[Stored], modality: str, digest: Callable[[Stored], bytes]
) -> list[bytes | Failure]:
    """A hash of each medium's content, or why there is none."""

    def digest_or_why(medium: Stored) -> bytes | Failure:
        try:
            return digest(medium)
        except OSError as error:
            return _cannot(modality, medium, "read", error)

    return list(_each(digest_or_why, media, f"reading {modality}s"))


def _cached(decoder: Decoder, digest: str) -> Path:
    return cache_folder() / f"{decoder.modality}s" / f"{digest[:24]}.npy"


def _values(media: Sequence[Stored], decoder: Decoder, digest: str) -> Array | DecodedOnRead | None:
    """The media, where no decoding is needed to have them; else None."""
    if not media:
        return np.empty((0, *decoder.shape), decoder.dtype)
    if decoder.size(len(media)) > LARGEST_CACHE:
        return DecodedOnRead(media, decoder)
    cached = _cached(decoder, digest)
    if not is_whole(cached):
        return None
    values = mapped(cached)
    if values.shape != (len(media), *decoder.shape) or values.dtype != decoder.dtype:
        discard(cached, f"it holds {values.shape} {values.dtype}")
        return None
    return values


def _broken(
    media: Sequence[Stored], decoder: Decoder, digest: str, keeps: bool
) -> dict[int, Failure]:
    """Decode the media, unless another process has meanwhile kept them, and so found none broken.

    Args:
        keeps: whether what is decoded is kept.
    """
    if not keeps:
        return _decode_all(media, decoder, digest)
    with making(_cached(decoder, digest)):
        if _values(media, decoder, digest) is not None:
            return {}
        return _decode_all(media, decoder, digest)


def _decode_all(media: Sequence[Stored], decoder: Decoder, digest: str) -> dict[int, Failure]:
    """Decode the media, into the cache if they fit and none is broken.

    They go into a temporary file that is then renamed: the cache never holds half an array.

    Returns: by place, why a medium is broken.
    """
    decoded = _each(lambda m: _decode(decoder, m), media, f"decoding {decoder.modality}s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata: what matters is an error
        if decoder.size(len(media)) > LARGEST_CACHE:
            return _failures(decoded, keep=lambda _: None)
        cached = _cached(decoder, digest)
        temporary = None
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=cached.parent))
            with sealing(temporary / "values.npy", decoder.size(len(media)) + _HEADER) as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(decoder.dtype)),
                    "fortran_order": False,
                    "shape": (len(media), *decoder.shape),
                }
                np.lib.format.write_array_header_1_0(file, header)
                bad = _failures(decoded, keep=lambda values: file.write(values.tobytes()))
            if not bad:
                (temporary / "values.npy").replace(cached)
        except OSError as error:
            raise unwritable(cached.parent, error) from None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
    return bad


def _failures(
    decoded: Iterable[Array | Failure], keep: Callable[[Array], None]
) -> dict[int, Failure]:
    """By place, those that failed; the others are kept, while none has."""
    bad: dict[int, Failure] = {}
    for place, found in enumerate(decoded):
        if isinstance(found, Failure):
            bad[place] = found
        elif not bad:
            keep(found)
    return bad


def _decode(decoder: Decoder, medium: Stored) -> Array | Failure:
    """The values, or why there are none."""
    try:
        return decoder.decode(medium)
    except (Unreadable, OSError) as error:
        return _cannot(decoder.modality, medium, "decoded", error)


def _cannot(modality: str, medium: Stored, what: str, error: Exception) -> Failure:
    why = getattr(error, "strerror", None) or error
    return Failure(
        f"{modality} {medium} cannot be {what}: {why}", lasting=isinstance(error, Unreadable)
    )


def _each(function: Callable[[Any], T], values: Sequence[Any], what: str) -> Iterator[T]:
    """The function of each value, in order, on all cores; progress is told."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(values), _CHUNK):
            yield from pool.map(function, values[start : start + _CHUNK])
            report_progress(what, min(start + _CHUNK, len(values)), len(values))


class _Note:
    """What the cache remembers of files with these names, sizes and times.

    Args:
        media: the files.
        what: is remembered of them.
    """

    def __init__(self, media: Sequence[Stored], what: str) -> None:
        self._opened = time.time()
        self._changed = 0
        key = hashlib.sha256(what.encode())
        for medium in media:
            try:
                text, changed = medium.stamp()
                self._changed = max(self._changed, changed)
            except OSError:
                text = f"absent {medium}"
            key.update(f"\n{text}".encode("utf-8", "surrogateescape"))
        self._path = cache_folder() / "known" / f"{key.hexdigest()[:32]}.json"

    def read(self) -> dict[str, Any] | None:
        """What was written of the same files; None if nothing was."""
        try:
            return read_note(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Damaged as error:
            discard(self._path, str(error))
            return None

    def write(self, value: dict[str, Any]) -> None:
        """Remember, unless a file is so new that a change might leave its time as it is."""
        if self._changed / 1e9 > self._opened - _SETTLED:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_note(self._path, value)
        except OSError as error:
            raise unwritable(self._path.parent, error) from None
