"""Generated data on disk: each part of a split is made once, and is whole or absent.

A part is a folder of arrays (`*.npy`), tables (`*.json`) and `part.json`, which holds their digests
and sizes. It is written to a temporary folder and renamed.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.cache import cache_folder
from mmbench.errors import MMBenchError
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

        _store(folders[name], parts[name], count, report)
    return list(folders.values())


def array(folder: Path, name: str) -> Array:
    """An array of a part, memory-mapped."""
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def table(folder: Path, name: str) -> Any:
    """A table of a part."""
    text = (folder / f"{name}.json").read_text(encoding="utf-8")
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
        for name, value in _description(folder)["digests"].items():
            content.update(f"{name} {value}\n".encode())
    return content.hexdigest()


def _description(folder: Path) -> dict[str, dict[str, Any]]:
    description: dict[str, dict[str, Any]] = json.loads((folder / "part.json").read_text())
    return description


def _is_whole(folder: Path) -> bool:
    try:
        sizes = _description(folder)["sizes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


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
        raise MMBenchError(
            f"cannot write the cache of generated data {folder.parent}: "
            f"{error.strerror or error}. Make room there or set MMBENCH_CACHE to another folder."
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, make: Make, count: int, report: Callable[[int], None]) -> None:
    digests: dict[str, Any] = {}
    for start in range(0, count, _STEP):
        stop = min(start + _STEP, count)
        for name, values in make(np.arange(start, stop)).items():
            if isinstance(values, np.ndarray):
                path, head = folder / f"{name}.npy", _header(values, count)
                content = values.tobytes()
            else:
                path, head = folder / f"{name}.json", b"[\n"
                content = _lines(values) + (b"\n]\n" if stop == count else b",\n")
            digests.setdefault(name, hashlib.sha256()).update(content)
            # Written, not memory-mapped: on a full disk a mapped page kills the process.
            with path.open("ab") as file:
                file.write((head if start == 0 else b"") + content)
        report(stop)
    description = {
        "digests": {name: digest.hexdigest() for name, digest in digests.items()},
        "sizes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / "part.json").write_text(json.dumps(description, indent=1))


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
        if _is_whole(folder):  # another process was first
            return
        shutil.rmtree(folder)
        made.rename(folder)
