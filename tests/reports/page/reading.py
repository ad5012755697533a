"""What a page holds, read without a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from typing import Any

from PIL import Image

_DATA = re.compile(r'<script type="text/plain" class="sample-data">(.*?)</script>', re.DOTALL)
_MEDIA = re.compile(r'<script type="text/plain" class="sample-media">(.*?)</script>', re.DOTALL)


def sets_of(html: str) -> list[tuple[dict[str, Any], list[bytes]]]:
    """Of each set of samples, its data, and the files of its media."""
    data = [json.loads(zlib.decompress(base64.b64decode(found))) for found in _DATA.findall(html)]
    files = [
        [base64.b64decode(file[1:]) for file in found.split()] for found in _MEDIA.findall(html)
    ]
    return list(zip(data, files, strict=True))


def decoded(column: dict[str, list[Any]]) -> list[Any]:
    """A coded column's values."""
    return [column["values"][code] for code in column["codes"]]


def image(content: bytes) -> Image.Image:
    """A file as an image."""
    return Image.open(io.BytesIO(content))
