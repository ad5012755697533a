"""The size that a dataset's images have themselves, where its file sets none.

Images that are smaller than what networks usually read are not enlarged: 64 x 64 pixels blown up
to 224 x 224 hold nothing more, and cost twelve times as much to decode, keep and train on.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from functools import cache

from PIL import Image

from mmbench.data.images import SMALLEST
from mmbench.data.stored import File, Stored

_LOOKED_AT = 256  # images, spread over all
_log = logging.getLogger(__name__)  # prints on standard error unless a program says otherwise


def own_size(media: Sequence[Stored], most: int) -> int:
    """The longer side of the largest of the images, in pixels, but no more than `most`.

    Of many images, some that are spread evenly over all are looked at, by their headers. What is
    not an image says nothing; `most` where none says anything.
    """
    step = max(1, len(media) // _LOOKED_AT)
    largest = 0
    for medium in media[::step]:
        largest = max(largest, _longer_side(medium))
        if largest >= most:
            return most
    return max(largest, SMALLEST) if largest else most


def _longer_side(medium: Stored) -> int:
    """Of an image, by its header; 0 for what is none."""
    source = medium.path if isinstance(medium, File) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of odd metadata and sizes: decoding says what is wrong
            with Image.open(source or io.BytesIO(medium.content())) as image:
                return max(image.size)
    except Exception:  # Pillow raises anything of damaged files: decoding says what is wrong
        return 0


@cache
def tell_own_size(dataset: str, pixels: int, most: int) -> None:
    """Say, once, at which size images are read that are not enlarged."""
    _log.warning(
        "mmbench: the images of %s are read at their own size, %d x %d pixels, and not enlarged to "
        "%d x %d (image_size in its file sets another)",
        *(dataset, pixels, pixels, most, most),
    )
