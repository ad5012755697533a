"""Arrays and a text about them in one compressed file of NumPy's (`.npz`), without any pickle.

Counts, groups and categories of samples shrink to a tenth of their size so, and nothing is lost.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError

_ABOUT = "about"  # the text's name among the arrays, as bytes of UTF-8

AnyArray = npt.NDArray[Any]


def packed(arrays: Mapping[str, AnyArray], about: Mapping[str, Any]) -> bytes:
    """The file's content: the same for the same arrays and text.

    Args:
        arrays: by name, of numbers.
        about: what a reader has to know of them, as JSON.
    """
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    content = io.BytesIO()
    named: dict[str, Any] = {_ABOUT: text, **arrays}
    np.savez_compressed(content, **named)
    return content.getvalue()


def unpacked(path: Path) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """The arrays of a file, and what it says about them.

    Raises: MMBenchError, in a few words for whoever knows what the file is, if it holds none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        if not isinstance(about, dict):
            raise TypeError("its text is no object")
    except (
        *(OSError, BadZipFile, zlib.error, EOFError, NotImplementedError),
        *(LookupError, TypeError, ValueError, AttributeError, RecursionError),
    ) as error:
        raise MMBenchError(f"{type(error).__name__}: {error}") from None
    return arrays, about
