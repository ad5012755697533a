"""Data on its way into a page: columns coded by a dictionary, then deflated, then base64."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any


def coded(values: Iterable[Hashable]) -> dict[str, list[Any]]:
    """A column as its distinct values and, for each row, the place of its value among them.

    >>> coded(["yes", "no", "yes"])
    {'values': ['yes', 'no'], 'codes': [0, 1, 0]}
    """
    places: dict[Hashable, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return {"values": list(places), "codes": codes}


def coded_numbers(values: Sequence[float]) -> dict[str, list[Any]]:
    """A column of numbers to four digits; what is not a number is None."""
    return coded(float(f"{value:.4g}") if math.isfinite(value) else None for value in values)


def packed(data: Any) -> str:
    """Plain data as deflated JSON in base64: in a page's text nothing of it can act."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return in_base64(zlib.compress(text.encode()))


def in_base64(content: bytes) -> str:
    """The bytes in base64."""
    return base64.b64encode(content).decode()
