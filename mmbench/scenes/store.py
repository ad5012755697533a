"""Generated data on disk: each part of a split is made once, and is whole or absent.

A part is a folder of arrays (`*.npy`), tables (`*.json`) and `part.json`, which holds their
digests. Arrays and tables are sealed (`mmbench/data/cache.py`). A part is written to a temporary
folder and renamed; one that is damaged is made again.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.cache import (
    Damaged,
    Sealing,
    cache_folder,
    content_of,
    damage,
    discard,
    making,
    read_note,
    sealing,
    unwritable,
    write_note,
)
from mmbench.data.media import mapped
from mmbench.scenes.counter import IntArray

VERSION = "3"  # raised when any byte of any split changes

Array = npt.NDArray[Any]
Content = Mapping[str, "Array | Sequence[Any]"]
Make = Callable[[IntArray], Content]
Advanced = Callable[[int, int], None]

_STEP = 250  # items made at a time


def stored(parts: Mapping[str, Make], count: int, advanced: Advanced | None = None) -> list[Path]:
    """The folders of these parts; what is absent or not whole is made first.

    Args:
        parts: by name, what makes the items (n,) whose places it is given: arrays (n, ...) and
            lists of n values for JSON. A part has the same bytes whatever the steps.
        count: items of each part.
        advanced: called with items done and items to do while parts are made.
    Raises: MMBenchError if the cache cannot be written.
    """
    version = hashlib.sha256(VERSION.encode()).hexdigest()[:12]
    folders = {name: cache_folder() / "scenes" / version / name for name in parts}
    absent = [name for name, folder in folders.items() if not _is_whole(folder)]
    for place, name in enumerate(absent):

        def report(done: int, before: int = place * count) -> None:
            if advanced is not None:
                advanced(before + done, len(absent) * count)

        with making(folders[name]):
            if not _is_whole(folders[name]):  # else another process made it meanwhile
                _store(folders[name], parts[name], count, report)
    return list(folders.values())


def array(folder: Path, name: str) -> Array:
    """An array of a part, memory-mapped."""
    return mapped(folder / f"{name}.npy")


def table(folder: Path, name: str) -> Any:
    """A table of a part."""
    text = content_of(folder / f"{name}.json")
    with collector_paused():
        return json.loads(text)


@contextmanager
def collector_paused() -> Iterator[None]:
    """While a million objects are made, none of which is garbage: two thirds of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def digest(*folders: Path) -> str:
    """A hash of the content of these parts."""
    content = hashlib.sha256()
    for folder in folders:
        for name, value in read_note(folder / "part.json")["digests"].items():
            content.update(f"{name} {value}\n".encode())
    return content.hexdigest()


def _is_whole(folder: Path) -> bool:
    """Whether a part is there, with the content that was written; damage is discarded."""
    why = ""
    try:
        for name in read_note(folder / "part.json")["files"]:
            why = why or damage(folder / name)
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.lexists(folder):
            return False
        why = "part.json is absent"
    except Damaged as error:
        why = str(error)
    if why:
        discard(folder, why)
    return not why


def _store(folder: Path, make: Make, count: int, report: Callable[[int], None]) -> None:
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        made = temporary / folder.name
        made.mkdir()
        _write(made, make, count, report)
        _move(made, folder)
    except OSError as error:
        raise unwritable(folder.parent, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, make: Make, count: int, report: Callable[[int], None]) -> None:
    digests: dict[str, Any] = {}
    files: dict[str, Sealing] = {}
    with ExitStack() as opened:
        for start in range(0, count, _STEP):
            stop = min(start + _STEP, count)
            for name, values in make(np.arange(start, stop)).items():
                if isinstance(values, np.ndarray):
                    file, head = f"{name}.npy", _header(values, count)
                    content = values.tobytes()
                else:
                    file, head = f"{name}.json", b"[\n"
                    content = _lines(values) + (b"\n]\n" if stop == count else b",\n")
                digests.setdefault(name, hashlib.sha256()).update(content)
                if file not in files:
                    files[file] = opened.enter_context(sealing(folder / file))
                    files[file].write(head)
                files[file].write(content)
            report(stop)
    description = {
        "digests": {name: digest.hexdigest() for name, digest in digests.items()},
        "files": sorted(files),
    }
    write_note(folder / "part.json", description)


def _header(values: Array, count: int) -> bytes:
    """The start of an .npy file of `count` rows like these."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(values.dtype),
            "fortran_order": False,
            "shape": (count, *values.shape[1:]),
        },
    )
    return header.getvalue()


def _lines(values: Sequence[Any]) -> bytes:
    return ",\n".join(json.dumps(v, separators=(",", ":")) for v in values).encode()


def _move(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not _is_whole(folder):  # else another process was first
            made.rename(folder)
