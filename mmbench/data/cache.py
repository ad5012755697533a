"""The cache on disk: what is read from it is what was written to it, or it is made anew.

Whatever is kept can be made again, so damage (a crash, a full disk, a copy that was cut off) costs
time and a line on standard error, never a run. A kept file ends in a seal, the hash of all that
comes before it; a note of JSON holds the hash of its other keys. Both are verified whenever they
are opened, over the whole content, since a size and a time tell nothing of pages that a crash left
as zeros. XXH3 makes that affordable: the 12 MB of easy-VQA's test images take 6 ms, the 44 MB of
its training images 28 ms, and 8 GB, the most that is kept of a set, no longer than it takes to read
them from the disk. It does not stop somebody who alters the cache on purpose; who can write there
needs no such trick.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs
import xxhash
from filelock import FileLock, Timeout

from mmbench.errors import MMBenchError

_SEAL = 16  # bytes at the end of a sealed file
_BLOCK = 1 << 20  # bytes read at once
_PAUSE = 0.2  # seconds between looks whether another process is done
_ABSENT = "a file is absent"
_log = logging.getLogger(__name__)  # prints on standard error unless a program says otherwise


def cache_folder() -> Path:
    """Where decoded data is kept: $MMBENCH_CACHE, or `mmbench` in the user's cache folder."""
    named = os.environ.get("MMBENCH_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("mmbench", appauthor=False)


def unwritable(folder: Path, error: Exception) -> MMBenchError:
    """What is raised where a folder of the cache cannot be written."""
    return MMBenchError(
        f"cannot write the cache {folder}: {getattr(error, 'strerror', None) or error}. "
        "Make room there or set MMBENCH_CACHE to another folder."
    )


@contextmanager
def making(path: Path) -> Iterator[None]:
    """Within, this process alone makes what belongs at a path of the cache; another one waits.

    So what several processes need at once is made once: whoever waited looks again whether it is
    there. A lock ends with its process, however that ends; its empty file stays.

    Raises: MMBenchError if the cache cannot be written.
    """
    folder = cache_folder() / "locks"
    lock = FileLock(folder / f"{xxhash.xxh3_64_hexdigest(os.fsencode(path))}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("mmbench: another process makes %s now; waiting for it", path)
            lock.acquire(poll_interval=_PAUSE)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        yield
    finally:
        lock.release()


class Sealing:
    """A file that is being written and sealed; see `sealing`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = xxhash.xxh3_128()

    def write(self, content: bytes | memoryview) -> None:
        """Append this."""
        self._file.write(content)
        self._hash.update(content)

    def finish(self) -> None:
        """Append the seal; nothing follows."""
        self._file.write(self._hash.digest())
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def sealing(path: Path, size: int = 0) -> Iterator[Sealing]:
    """Write a file with its seal.

    It is written, not memory-mapped: on a full disk a mapped page kills the process.

    Args:
        path: the file, which nobody else knows of: it is not whole before the end.
        size: about how many bytes will come. They are reserved, where the system can do so, so
            that a disk without room for them is told of before they are computed.
    Raises: OSError if it cannot be written.
    """
    with path.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size + _SEAL)
        sealed = Sealing(file)
        yield sealed
        sealed.finish()


def seal(path: Path) -> None:
    """Seal a file that somebody else has written; see `sealing`.

    Raises: OSError if it cannot be written.
    """
    with path.open("r+b") as file:
        content = xxhash.xxh3_128()
        while block := file.read(_BLOCK):
            content.update(block)
        file.write(content.digest())


def is_whole(path: Path) -> bool:
    """Whether a sealed file is there, with the content that was written; damage is discarded.

    Raises: MMBenchError if what is damaged cannot be discarded.
    """
    why = damage(path)
    if why not in ("", _ABSENT):
        discard(path, why)
    return not why


def damage(path: Path) -> str:
    """Why a sealed file is of no use; "" if it is whole."""
    try:
        whole = np.memmap(path, np.uint8, mode="r")
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:  # nothing to map
        return f"{path.name} is empty"
    same = xxhash.xxh3_128_digest(whole[:-_SEAL].data) == whole[-_SEAL:].tobytes()
    return "" if same else f"{path.name} is not what was written"


def content_of(path: Path) -> bytes:
    """The content of a sealed file that is whole."""
    return path.read_bytes()[:-_SEAL]


class Damaged(Exception):
    """Something that is kept is not what was written; says why."""


def read_note(path: Path) -> dict[str, Any]:
    """The value of a note.

    Raises: Damaged; FileNotFoundError or NotADirectoryError if there is none.
    """
    try:
        found = json.loads(path.read_bytes())
        if found.pop("check") == _check(found):
            return dict(found)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Damaged(error.strerror) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise Damaged(f"{path.name} is not what was written")


def write_note(path: Path, value: Mapping[str, Any]) -> None:
    """Write a note, whole or not at all, into a folder that is there.

    Raises: OSError if it cannot be written.
    """
    plain = json.loads(json.dumps(value))  # as it will be read: keys that are numbers become texts
    made = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        made.write_text(json.dumps(plain | {"check": _check(plain)}, indent=1), encoding="utf-8")
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _check(value: Mapping[str, Any]) -> str:
    return str(xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True).encode()))


def discard(path: Path, why: str) -> None:
    """Remove what is damaged, and say so: whoever needs it makes it anew.

    What cannot be removed, such as a folder that may not be read, is moved out of the way.

    Args:
        path: a file or folder of the cache.
        why: it is of no use.
    Raises: MMBenchError if it can be neither removed nor moved.
    """
    blocked = [p for p in path.parents if cache_folder() in p.parents and not os.access(p, os.X_OK)]
    for damaged in (path, *blocked):
        if remove(damaged):
            tell_damaged(damaged, why)
            return
    raise MMBenchError(
        f"the cache {path} is damaged ({why}) and cannot be removed. "
        "Remove it or set MMBENCH_CACHE to another folder."
    )


def tell_damaged(path: Path, why: str) -> None:
    """Say that something of a cache is damaged, in a line on standard error."""
    _log.warning("mmbench: the cache %s is damaged (%s): it is made anew", path, why)


def remove(path: Path) -> bool:
    """Remove a file or folder of the cache, out of sight at once; False if that cannot be done."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was first
        return True
    except OSError:
        return False
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)
    return True
