"""How much of each pixel a shape covers, in 64ths, counted on a grid of 8x8 points a pixel.

All arithmetic is on whole numbers, so a stencil is the same on every machine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mmbench.scenes.counter import IntArray
from mmbench.scenes.world import QUARTER, SHAPES, BoolArray

FULL = 64  # a stencil's value where the shape covers the whole pixel
_POINTS = 8  # points a side in a pixel

# Outlines in thousandths of the half extent: x to the right, y downwards.
_OUTLINES: dict[str, list[tuple[int, int]]] = {
    "square": [(-850, -850), (850, -850), (850, 850), (-850, 850)],
    "triangle": [(0, -950), (1000, 800), (-1000, 800)],
    "star": [
        *[(0, -980), (259, -287), (999, -254), (419, 206), (617, 919)],
        *[(0, 511), (-617, 919), (-419, 206), (-999, -254), (-259, -287)],
    ],
    "cross": [
        *[(-320, -960), (320, -960), (320, -320), (960, -320), (960, 320), (320, 320)],
        *[(320, 960), (-320, 960), (-320, 320), (-960, 320), (-960, -320), (-320, -320)],
    ],
}
_CIRCLE = 950  # its radius


@lru_cache(maxsize=8)
def stencils(half_extents: tuple[int, ...], width: int) -> npt.NDArray[np.int16]:
    """Coverages (shapes, half extents, 4, 4, width, width), from 0 to `FULL`.

    The third and fourth axes say how many quarters of a pixel the centre lies below and right of
    the upper left corner of the pixel at `(width - 1) // 2`.

    Args:
        half_extents: from the centre to the edge, in quarter pixels.
        width: pixels a side; even, and large enough for the largest extent.
    """
    if width % 2 or 2 * max(half_extents) > QUARTER * (width - 2):
        raise ValueError(f"stencils of {width} pixels do not hold extents {half_extents}")
    coverage = np.zeros((len(SHAPES), len(half_extents), 4, 4, width, width), np.int16)
    shift = _POINTS // QUARTER
    for shape, name in enumerate(SHAPES):
        for place, half in enumerate(half_extents):
            inside = _inside(name, half, (width + 2) * _POINTS // 2)
            for down in range(QUARTER):
                for across in range(QUARTER):
                    # The grid's middle is the centre; start so that it falls on its pixel's quarter
                    top, left = 2 * _POINTS - shift * down, 2 * _POINTS - shift * across
                    side = width * _POINTS
                    part = inside[top : top + side, left : left + side]
                    blocks = part.reshape(width, _POINTS, width, _POINTS)
                    coverage[shape, place, down, across] = blocks.sum(axis=(1, 3))
    return coverage


def _inside(shape: str, half: int, reach: int) -> BoolArray:
    """Which of the points within `reach` points of the centre lie in the shape: (2 reach,) * 2."""
    # In units of half a point's distance: points lie at odd numbers, an extent of a quarter
    # pixel is `_POINTS // 2`; the outlines are scaled up by 1000 rather than divided.
    axis = (2 * np.arange(-reach, reach, dtype=np.int64) + 1) * 1000
    x, y = axis[None, :], axis[:, None]
    unit = half * _POINTS // 2
    if shape == "circle":
        return x * x + y * y <= (_CIRCLE * unit) ** 2
    corners = [(a * unit, b * unit) for a, b in _OUTLINES[shape]]
    inside = np.zeros((2 * reach, 2 * reach), bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside ^= _left_of_edge(x, y, x1, y1, x2, y2)
    return inside


def _left_of_edge(x: IntArray, y: IntArray, x1: int, y1: int, x2: int, y2: int) -> BoolArray:
    """Where a ray to the right crosses the edge, of the even-odd rule."""
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    return (y >= y1) & (y < y2) & ((x - x1) * (y2 - y1) < (x2 - x1) * (y - y1))
