"""How wide a table becomes in LaTeX, without running it: widths of Computer Modern's letters.

The estimate is a little too wide rather than too narrow, so that no table runs off its page.
"""

from __future__ import annotations

import re

TEXT_WIDTH = 345.0  # points, of LaTeX's article at 10 pt: the narrowest that papers have
TEXT_HEIGHT = 550.0
SIZES = {r"\normalsize": 10.0, r"\small": 9.0, r"\footnotesize": 8.0, r"\scriptsize": 7.0}

_NARROW = dict.fromkeys("ijl.,:;'|!`", 0.28) | dict.fromkeys("frtIJ()[]-/ ", 0.4)
_WIDE = dict.fromkeys("mwMW@%—→↓±+=<>×", 0.92) | dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ&Δ", 0.76)
_LETTERS = _NARROW | _WIDE
_SAFETY = 1.04
_SMALL_TYPES = 1.06  # smaller sizes of Computer Modern are drawn wider


def width(text: str, size: str, bold: bool = False) -> float:
    r"""Of a text as a reader sees it, in points.

    >>> 20 < width("99.91", r"\small") < 26
    True
    """
    em = SIZES[size] * (_SMALL_TYPES if SIZES[size] < 10 else 1.0)
    letters = sum(_LETTERS.get(c, 0.54 if c.isascii() else 1.0) for c in text)
    return letters * em * (1.16 if bold else 1.0) * _SAFETY


def breakable(escaped: str) -> str:
    r"""Escaped text that LaTeX may break after marks, and within long words.

    >>> print(breakable(r"a\_b:c"))
    a\_\allowbreak{}b:\allowbreak{}c
    """
    text = re.sub(r"(\\_|[:/=+-]|[,.](?!\d))(?=[^\s}])", r"\1\\allowbreak{}", escaped)
    return re.sub(r"([A-Za-z0-9]{20})(?=[A-Za-z0-9])", r"\1\\allowbreak{}", text)
