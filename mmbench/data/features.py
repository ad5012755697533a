"""Features of media and texts, computed once and kept: what frozen encoders give.

They lie in the cache in blocks, memory-mapped, and are found again by what made them and by the
content that they are of; so every fusion, seed, split and dataset that has the same content shares
them, and a computation that was cut off goes on after its last whole block.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmbench.data.cache import cache_folder, damage, discard, making, sealing, unwritable
from mmbench.data.media import Array, MediaRef
from mmbench.data.reading import report_progress

Features = npt.NDArray[np.floating[Any]]
Value = MediaRef | str

_BLOCK = 128  # values, the fewest whose features are computed and written together
_BLOCKS = 256  # the most blocks that are written at a time: each is an open file later
_FILES = ("keys.npy", "ends.npy", "tokens.npy")


class _Place(NamedTuple):
    """Where the features of a value are: rows `start` to `end` of a block's tokens."""

    block: str
    start: int
    end: int


class FeatureCache:
    """The kept features of one encoder.

    A block is a folder: `keys` (M, 16) uint8 of M values, `ends` (M,) int64 of each one's rows in
    `tokens` (T, F). It is written to a temporary folder and renamed. One that is damaged is
    discarded, and its features are computed anew; tokens are looked at when they are asked for,
    since a run needs few of all blocks.

    Args:
        maker: what decides the features besides the content: the encoder's `fingerprint`, and what
            was done to them since.
        dtype: in which they are kept.
    """

    def __init__(self, maker: str, dtype: npt.DTypeLike = np.float16) -> None:
        self._dtype = dtype
        self._keys: dict[Value, bytes] = {}
        self.folder = cache_folder() / "features" / maker
        self._places: dict[bytes, _Place] = {}
        self._opened: set[str] = set()
        self._tokens: dict[str, Features] = {}  # of the blocks that were asked for and are whole

    def add(
        self,
        values: Sequence[Value],
        compute: Callable[[Sequence[Value]], Iterable[Features]],
        what: str,
    ) -> None:
        """Make sure that the features of these values are there.

        Args:
            values: media and texts; each once.
            compute: gives the features (N_i, F) of those that are not there yet.
            what: for the report of progress ("features of image").
        Raises: MMBenchError if the cache cannot be written.
        """
        if self._missing(values):
            with making(self.folder):
                self._compute(self._missing(values), compute, what)  # less another process's

    def _missing(self, values: Sequence[Value]) -> list[Value]:
        """Those whose features are not kept yet; the others' are mapped."""
        self._open()
        self._map(values)
        return [value for value in values if self._key(value) not in self._places]

    def _compute(
        self,
        missing: list[Value],
        compute: Callable[[Sequence[Value]], Iterable[Features]],
        what: str,
    ) -> None:
        missing.sort(key=lambda value: len(value) if isinstance(value, str) else 0)
        size = max(_BLOCK, -(-len(missing) // _BLOCKS))
        for start in range(0, len(missing), size):
            report_progress(what, start, len(missing))
            block = missing[start : start + size]
            found: list[Features] = []
            for features in compute(block):
                found.append(features)
                report_progress(what, start + len(found), len(missing))
            self._write(block, found)
        if missing:
            self._open()
            self._map(missing)

    def holds(self, values: Iterable[Value]) -> bool:
        """Whether the features of all these are there, and were asked for by `add`."""
        places = (self._places.get(self._key(value)) for value in values)
        return all(place is not None and place.block in self._tokens for place in places)

    def rows(self, values: Sequence[Value]) -> tuple[Features, npt.NDArray[np.bool_]]:
        """The features of values that are there, (U, N, F), zeros after each one's last token.

        And a mask (U, N), which of them are there.
        """
        places = [self._places[self._key(value)] for value in values]
        lengths = np.array([place.end - place.start for place in places])
        longest = lengths.max()
        width = self._tokens[places[0].block].shape[1]
        features = np.zeros((len(places), longest, width), self._dtype)
        for number, (block, start, end) in enumerate(places):
            features[number, : end - start] = self._tokens[block][start:end]
        return features, np.arange(longest) < lengths[:, None]

    def _key(self, value: Value) -> bytes:
        """Of a value's content; that of a medium is known by its set's content and its place."""
        key = self._keys.get(value)
        if key is None:
            content = value if isinstance(value, str) else f"{value.set_digest}/{value.row}"
            digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
            key = self._keys[value] = digest[:16]
        return key

    def _open(self) -> None:
        """Find the blocks that were written since the last time."""
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            discard(self.folder, error.strerror or str(error))
            return
        for name in names:
            if name in self._opened or name.startswith("."):
                continue
            files = [self.folder / name / file for file in _FILES[:2]]
            if why := damage(files[0]) or damage(files[1]):
                self._drop(name, why)
                continue
            keys, ends = map(np.load, files)
            self._opened.add(name)
            start = 0
            for key, end in zip(keys, ends.tolist(), strict=True):
                self._places[key.tobytes()] = _Place(name, start, end)
                start = end

    def _map(self, values: Iterable[Value]) -> None:
        """Map the tokens of these values; drop the blocks where they are damaged."""
        places = (self._places.get(self._key(value)) for value in values)
        for block in {place.block for place in places if place} - self._tokens.keys():
            path = self.folder / block / _FILES[2]
            if why := damage(path):
                self._drop(block, why)
            else:
                # A plain array of that memory: slices of a memory map take ten times as long.
                self._tokens[block] = np.asarray(np.load(path, mmap_mode="r"))

    def _drop(self, block: str, why: str) -> None:
        discard(self.folder / block, why)
        self._places = {k: place for k, place in self._places.items() if place.block != block}
        self._opened.discard(block)

    def _write(self, values: Sequence[Value], features: Sequence[Features]) -> None:
        keys = [self._key(value) for value in values]
        ends = np.cumsum([len(rows) for rows in features])
        arrays: tuple[Array, ...] = (
            np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1),
            ends.astype(np.int64),
            np.concatenate(features).astype(self._dtype),
        )
        target = self.folder / hashlib.sha256(b"".join(keys)).hexdigest()[:24]
        temporary = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix="."))
            made = temporary / target.name  # with the rights of any folder, for others to read
            made.mkdir()
            for name, array in zip(_FILES, arrays, strict=True):
                with sealing(made / name) as file:
                    np.save(file, array)
            made.rename(target)
        except OSError as error:
            if not target.exists():  # else another process was quicker
                raise unwritable(self.folder, error) from None
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
