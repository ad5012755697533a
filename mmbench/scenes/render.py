"""Pictures of scenes: shapes with smooth edges on a dark tint, under fine noise.

Everything is done in whole numbers: the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmbench.scenes.counter import IntArray, bits
from mmbench.scenes.stencils import FULL, stencils
from mmbench.scenes.world import CANVAS, HALF_EXTENT, QUARTER, Scenes, present

ByteArray = npt.NDArray[np.uint8]

# By place in COLOURS. At most 240: noise adds up to 15 and must not overflow a byte.
PALETTE = np.array(
    [
        (215, 35, 40),
        (240, 135, 20),
        (235, 220, 45),
        (40, 150, 50),
        (60, 210, 225),
        (45, 70, 230),
        (160, 50, 190),
        (235, 235, 235),
    ],
    np.int16,
)
_BLOCK = 256  # scenes at a time: 3 MB of pixels, which stay in the cache
_STENCIL = 24
_BORDER = 6  # pixels around the canvas, so that a stencil may reach over its edge


def render(scenes: Scenes, split: str, size: int = 64, dataset: str = "scenes") -> ByteArray:
    """Pictures of N scenes, (N, size, size, 3) uint8.

    Args:
        scenes: from `sample_scenes` for the same split, or another dataset's.
        split, dataset: whose noise to add.
        size: pixels a side; 64, or 32 by averaging 2x2 pixels.
    """
    if size not in (32, 64):
        raise ValueError(f"scenes are rendered at 32 or 64 pixels, not {size}")
    pictures = np.empty((len(scenes), size, size, 3), np.uint8)
    for start in range(0, len(scenes), _BLOCK):
        block = scenes.part(start, start + _BLOCK)
        planes = _draw(block)
        planes += noise(f"{dataset}/{split}/noise", block.index, (1, CANVAS, CANVAS))
        planes = planes if size == CANVAS else _halve(planes)
        pictures[start : start + _BLOCK] = planes.transpose(0, 2, 3, 1)
    return pictures


def noise(stream: str, index: IntArray, shape: tuple[int, ...]) -> ByteArray:
    """Noise from 0 to 15 for items (N,), each of `shape`: (N, *shape)."""
    size = int(np.prod(shape))
    values = bits(stream, index, (size + 7) // 8).astype("<u8").view(np.uint8)
    return (values[:, :size] >> np.uint8(4)).reshape(-1, *shape)


def paint(
    canvas: ByteArray,
    who: IntArray,
    coverage: npt.NDArray[np.int16],
    ink: IntArray,
    top: IntArray,
    left: IntArray,
) -> None:
    """Add a stencil's ink to some of the pictures, in place.

    Shapes do not overlap, so what is added is the difference between ink and background, modulo
    256, wherever a shape covers a pixel at all.

    Args:
        canvas: (N, 3, H, W).
        who: (n,), which pictures.
        coverage: (n, w, w), from 0 to `FULL`.
        ink: (n, 3), the shape's colour less the background's.
        top, left: (n,), where the stencil's first pixel goes.
    """
    delta = coverage[:, None] * ink.astype(np.int16)[:, :, None, None]
    delta += FULL // 2
    delta //= FULL
    width = coverage.shape[-1]
    for picture, y, x, change in zip(
        who.tolist(), top.tolist(), left.tolist(), delta.astype(np.uint8), strict=True
    ):
        canvas[picture, :, y : y + width, x : x + width] += change


def _draw(scenes: Scenes) -> ByteArray:
    """The scenes without noise, (N, 3, 64, 64)."""
    table = stencils(HALF_EXTENT, _STENCIL)
    side = CANVAS + 2 * _BORDER
    canvas = np.empty((len(scenes), 3, side, side), np.uint8)
    canvas[:] = scenes.background[:, :, None, None]
    who, place = np.nonzero(present(scenes.count))
    x, y = scenes.x[who, place], scenes.y[who, place]
    coverage = table[scenes.shape[who, place], scenes.size[who, place], y % QUARTER, x % QUARTER]
    ink = PALETTE[scenes.colour[who, place]] - scenes.background[who]
    start = _BORDER - (_STENCIL - 1) // 2
    paint(canvas, who, coverage, ink, y // QUARTER + start, x // QUARTER + start)
    return canvas[:, :, _BORDER:-_BORDER, _BORDER:-_BORDER].copy()


def _halve(planes: ByteArray) -> ByteArray:
    """Planes (..., 2h, 2w) at half the size: the mean of 2x2 pixels, halves rounded up."""
    rows = planes[..., ::2, :].astype(np.uint16) + planes[..., 1::2, :]
    return ((rows[..., ::2] + rows[..., 1::2] + 2) // 4).astype(np.uint8)
