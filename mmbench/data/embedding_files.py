"""Reads retrieval scores made elsewhere: a score matrix (.npy), or embeddings (.npz)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.array_files import is_archive, read_archive, read_array
from mmbench.data.text_files import read_json
from mmbench.errors import MMBenchError

Array = npt.NDArray[Any]
SIDES = ("image", "text")
_ARRAYS = (*SIDES, "scores", *(f"{side}_ids" for side in SIDES))


@dataclass(frozen=True)
class RetrievalFile:
    """Scores, or embeddings to compute them from, and what is known of their rows and columns.

    Attributes:
        scores: (I, T), images by captions; None where embeddings are given.
        embeddings: (I, D) of the images and (T, D) of the captions; None where scores are given.
        image_ids, text_ids: (I,), (T,), by which files of right items know them; None: positions.
    """

    scores: Array | None
    embeddings: tuple[Array, Array] | None
    image_ids: list[int] | None = None
    text_ids: list[int] | None = None


def read_retrieval_scores(path: Path) -> RetrievalFile:
    """A matrix of scores (images, captions), or the embeddings of both sides.

    Args:
        path: `.npy`, the matrix; or `.npz` with `image` (I, D) and `text` (T, D), or with `scores`
            (I, T), and if the items have ids, `image_ids` (I,) and `text_ids` (T,).
    Raises: MMBenchError if it is none of these.
    """
    _check_suffix(path)
    if not is_archive(path):
        return RetrievalFile(read_array(path), None)
    value = read_archive(path, _ARRAYS)
    if "scores" not in value and not set(SIDES) <= set(value):
        raise MMBenchError(
            f"{path} must hold the arrays image and text, or scores; it holds {', '.join(value)}"
        )
    for name in (*SIDES, "scores"):
        if name in value and value[name].ndim != 2:
            raise MMBenchError(f"{path}: {name} must be a matrix, got shape {value[name].shape}")
    ids: list[list[int] | None] = []
    for axis, side in enumerate(SIDES):
        given = value.get(f"{side}_ids")
        if given is None:
            ids.append(None)
            continue
        items = (
            value["scores"].shape[axis : axis + 1] if "scores" in value else value[side].shape[:1]
        )
        if given.dtype.kind not in "iu" or given.shape != items:
            raise MMBenchError(
                f"{path}: {side}_ids must be whole numbers of shape {items}, got {given.dtype} of "
                f"shape {given.shape}"
            )
        ids.append(given.tolist())
    if "scores" in value:
        return RetrievalFile(value["scores"], None, *ids)
    return RetrievalFile(None, (value["image"], value["text"]), *ids)


def read_caption_images(path: Path) -> list[int]:
    """For each caption, the position of its image.

    Args:
        path: `.npy`, or a JSON list, of whole numbers.
    Raises: MMBenchError if it is not that.
    """
    if path.suffix == ".json":
        value = read_json(path)
    else:
        _check_suffix(path)
        value = None if is_archive(path) else read_array(path)
    whole = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
    if not whole and not (isinstance(value, list) and all(type(i) is int for i in value)):
        raise MMBenchError(
            f"{path} must hold, for each caption, the position of its image: a list of whole "
            "numbers (.npy or .json)"
        )
    if not len(value):
        raise MMBenchError(f"{path} names no captions")
    return [int(i) for i in value]


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".npy", ".npz"):
        raise MMBenchError(f"{path}: retrieval is scored from .npy or .npz files, or two tables")
