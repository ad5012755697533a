"""Reads arrays of numbers (.npy, .npz) from elsewhere.

What a header declares is held against the size of the file before anything is allocated: a few
bytes can declare 10^12 numbers, or unpack to more than any memory holds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.cells import first_ids
from mmbench.errors import MMBenchError, in_one_line

Array = npt.NDArray[Any]

MOST_UNPACKED = 100_000_000  # bytes of an archive that may be packed however tightly
MOST_FOLD = 200  # how many times larger it may become beyond that: zeros grow 1,000 times
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def is_archive(path: Path) -> bool:
    """Whether the file is a zip archive (.npz), by its content.

    Raises: MMBenchError if it cannot be read.
    """
    with _reading(path), path.open("rb") as file:
        return file.read(2) == b"PK"


def read_array(path: Path) -> Array:
    """The array in a .npy file.

    Raises: MMBenchError if it cannot be read, is none, or is shorter than its header says.
    """
    with _reading(path), path.open("rb") as file:
        _check_header(file, path.stat().st_size, str(path))
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def read_archive(path: Path, wanted: Sequence[str]) -> dict[str, Array]:
    """The arrays of these names in a .npz file; others are not read.

    Raises: MMBenchError as `read_array`; for an archive that unpacks to suspiciously much; and if
        it has none of these.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = {name: members[name] for name in wanted if name in members}
        if not chosen:
            raise MMBenchError(
                f"{path} must hold the arrays {' or '.join(wanted)}; it holds "
                f"{first_ids(list(members)) or 'none'}"
            )
        size = sum(info.file_size for info in chosen.values())
        packed = sum(info.compress_size for info in chosen.values())
        if size > max(MOST_UNPACKED, MOST_FOLD * packed):
            raise MMBenchError(
                f"{path} would unpack from {packed:,} to {size:,} bytes, more than {MOST_FOLD} "
                "times as much: if that is right, save it with numpy.savez, unpacked"
            )
        for name, info in chosen.items():
            with archive.open(info) as file:
                _check_header(file, info.file_size, f"{path}: {name}")
        found = {}
        for name, info in chosen.items():
            with archive.open(info) as file:
                found[name] = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
        return found


def _check_header(file: Any, size: int, where: str) -> None:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise MMBenchError(f"{where} is of format version {version}, not an array of numbers")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise MMBenchError(f"{where} holds Python objects, not an array of numbers")
    declared, held = prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or declared > held:
        raise MMBenchError(
            f"{where} declares an array of shape {shape} of {dtype}, {declared:,} bytes, and holds "
            f"{held:,}"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except MMBenchError:
        raise
    except OSError as error:
        raise MMBenchError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # numpy and zipfile raise anything of bytes that are not an array
        raise MMBenchError(f"{path} is not an array of numbers: {in_one_line(error)}") from None
