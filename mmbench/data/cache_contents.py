"""What lies in the cache: its entries by kind, with sizes and ages, and their removal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.cache import cache_folder, remove
from mmbench.errors import MMBenchError, did_you_mean

DAY = 86_400.0  # seconds
_LOCKS = "locks"  # empty files, which a process may hold


@dataclass(frozen=True)
class Entry:
    """Something that is made anew where it is absent: decoded media of a set, a model's features.

    Attributes:
        kind: the folder of the cache that it lies in ("images", "features").
        path: of it, a file or a folder.
        size: bytes.
        used: when it was last read or written, in seconds since 1970. Where a file system keeps no
            times of reading, when it was written.
    """

    kind: str
    path: Path
    size: int
    used: float

    @property
    def days(self) -> float:
        """Since it was last used."""
        return max(0.0, (time.time() - self.used) / DAY)


def entries() -> list[Entry]:
    """All that is kept, by kind, the largest first."""
    found = []
    for kind in _inside(cache_folder()):
        if kind.is_dir() and kind.name != _LOCKS:
            found += [_entry(kind.name, path) for path in _inside(kind)]
    return sorted(found, key=lambda entry: (entry.kind, -entry.size, entry.path.name))


def chosen(
    found: Sequence[Entry], kinds: Iterable[str] | None = None, older_than: float = 0.0
) -> list[Entry]:
    """The entries of some kinds that were not used for so many days.

    Args:
        kinds: all if None.
        older_than: days.
    Raises: MMBenchError for a kind that the cache does not have, or a negative number of days.
    """
    if not older_than >= 0:
        raise MMBenchError(f"--older-than must be 0 days or more, got {older_than:g}")
    known = sorted({entry.kind for entry in found})
    wanted = list(known if kinds is None else kinds)
    for kind in wanted:
        if kind not in known:
            there = f"It holds {', '.join(known)}." if known else "It is empty."
            raise MMBenchError(f"the cache has no '{kind}'.{did_you_mean(kind, known)} {there}")
    return [e for e in found if e.kind in wanted and e.days >= older_than]


def prune(removed: Iterable[Entry]) -> None:
    """Remove these entries.

    Raises: MMBenchError naming the first that cannot be removed.
    """
    for entry in removed:
        if not remove(entry.path):
            raise MMBenchError(f"cannot remove {entry.path} from the cache: have you the rights?")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise MMBenchError(f"cannot read the cache {folder}: {error.strerror}") from None


def _entry(kind: str, path: Path) -> Entry:
    """One entry; of what another process removes meanwhile, nothing is left to count."""
    size, used = 0, 0.0
    folders = os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]
    for parent, _, names in folders:
        for name in names:
            try:
                status = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                continue
            size += status.st_size
            used = max(used, status.st_atime, status.st_mtime)
    return Entry(kind, path, size, used)
