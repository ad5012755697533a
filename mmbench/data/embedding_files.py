"""Reads retrieval scores made elsewhere: a score matrix (.npy), or embeddings (.npz)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError

Array = npt.NDArray[Any]
SIDES = ("image", "text")


def read_retrieval_scores(path: Path) -> Array | tuple[Array, Array]:
    """A matrix of scores (images, captions), or the embeddings of both sides.

    Args:
        path: `.npy`, the matrix; or `.npz` with the arrays `image` (I, D) and `text` (T, D).
    Raises: MMBenchError if it is neither.
    """
    value = _load(path)
    if isinstance(value, np.ndarray):
        return value
    absent = [side for side in SIDES if side not in value]
    if absent:
        raise MMBenchError(
            f"{path} must hold the arrays image and text; it holds {', '.join(value) or 'none'}"
        )
    return value["image"], value["text"]


def read_caption_images(path: Path) -> list[int]:
    """For each caption, the position of its image.

    Args:
        path: `.npy`, or a JSON list, of whole numbers.
    Raises: MMBenchError if it is not that.
    """
    value = read_json(path) if path.suffix == ".json" else _load(path)
    whole = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
    if not whole and not (isinstance(value, list) and all(type(i) is int for i in value)):
        raise MMBenchError(
            f"{path} must hold, for each caption, the position of its image: a list of whole "
            "numbers (.npy or .json)"
        )
    if not len(value):
        raise MMBenchError(f"{path} names no captions")
    return [int(i) for i in value]


def _load(path: Path) -> Any:
    if path.suffix not in (".npy", ".npz"):
        raise MMBenchError(f"{path}: retrieval is scored from .npy or .npz files")
    try:
        value = np.load(path, allow_pickle=False)
        return value if isinstance(value, np.ndarray) else {name: value[name] for name in value}
    except OSError as error:
        raise MMBenchError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MMBenchError(f"{path} is not an array of numbers: {error}") from None
