"""Puts a folder in place of another so that a reader finds the one or the other, and whole.

No system replaces a folder that is not empty in one step everywhere. The old one is moved aside
first, under a name that says where it belongs, so that whoever looks between the two steps, or
after a process was killed there, puts it back.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmbench.errors import MMBenchError

_TRIES = 100  # of replacing what readers put back meanwhile
_ASIDE = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}\.old")


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Within, an error of the disk's is an MMBenchError that says what to do."""
    try:
        yield
    except OSError as error:
        raise MMBenchError(
            f"cannot write to {path}: {error.strerror or error}. "
            "Make room there or choose another --out."
        ) from None


def put_in_place(made: Path, folder: Path, marker: str) -> None:
    """Rename a folder to `folder`; what lies there is removed, but only once the new one is there.

    Args:
        made: beside `folder`.
        marker: the file that makes a folder whole.
    Raises: OSError; what lay there is there again.
    """
    replaced: list[Path] = []
    for _ in range(_TRIES):
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.exists():
                restore_stranded(folder, marker)
                raise
        else:
            break
        aside = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.old"
        with suppress(FileNotFoundError):  # another writer moved it first
            os.rename(folder, aside)
            replaced.append(aside)
    else:
        raise OSError(f"{folder} comes back as often as it is replaced")
    _remove(replaced, marker)


def restore_stranded(folder: Path, marker: str) -> bool:
    """Put a folder back whose replacement was cut off; whether there was one.

    Raises: MMBenchError if it is there and cannot be put back.
    """
    if folder.exists():
        return False
    whole = [old for old in _aside(folder) if (old / marker).is_file()]
    for old in sorted(whole, key=lambda old: (old / marker).stat().st_mtime, reverse=True):
        try:
            os.rename(old, folder)
        except OSError as error:
            if old.exists() and not folder.exists():
                raise MMBenchError(
                    f"{folder} was cut off while it was replaced. It lies in {old} and cannot be "
                    f"put back: {error.strerror or error}"
                ) from None
        return True
    return False


def stranded_name(name: str) -> str | None:
    """Of a folder that was moved aside, what it was called before; None of any other."""
    match = _ASIDE.fullmatch(name)
    return match["name"] if match else None


def remove_leftovers(folder: Path, marker: str) -> None:
    """Remove what killed processes left of `folder`: half-written folders, replaced ones.

    Only for a process that alone writes it now; `folder` stays as it is.
    """
    half = folder.parent.glob(f"{glob.escape(temporary_prefix(folder))}*")
    _remove([*half, *(_aside(folder) if folder.exists() else [])], marker)


def _remove(folders: Iterable[Path], marker: str) -> None:
    """Remove folders that are in nobody's way: one that cannot be removed is left."""
    for left in folders:
        with suppress(OSError):
            (left / marker).unlink(missing_ok=True)  # first, so that it is never taken for whole
            shutil.rmtree(left)


def temporary_prefix(folder: Path) -> str:
    """What the name of a folder begins with that is being written, beside `folder`."""
    return f".{folder.name}-"


def _aside(folder: Path) -> list[Path]:
    return list(folder.parent.glob(f".{glob.escape(folder.name)}.{'[0-9a-f]' * 32}.old"))
