"""What JSON in UTF-8 cannot hold: NaN, the infinities, and texts that are no text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def not_finite(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every NaN and infinity in plain data, at any depth, with its key.

    >>> list(not_finite({"lr": float("inf"), "loss": {"weights": [0.5, float("nan")]}}))
    [('lr', inf), ('loss.weights.1', nan)]
    """
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    elif isinstance(value, dict | list | tuple):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from not_finite(part, f"{key}.{name}" if key else str(name))


def storable(value: Any) -> Any:
    r"""Plain data with texts that UTF-8 can hold: a file's name may have bytes that are no text.

    >>> storable({"model": "caf\udce9"})
    {'model': 'caf\\udce9'}
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(part) for key, part in value.items()}
    return [storable(part) for part in value] if isinstance(value, list) else value
