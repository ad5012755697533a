"""Counts as tables show them."""

from __future__ import annotations


def count(number: float) -> str:
    """A count in three digits: 461229 as 461k.

    >>> count(461229), count(1_250_000), count(87)
    ('461k', '1.25M', '87')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"
