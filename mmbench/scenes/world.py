"""The world of the scenes: what objects there are and where; one to four in a picture.

A scene is drawn from its split's stream by its index alone. The splits are disjoint twice over:
the combinations in `HELD_OUT` occur in every scene of `compositional` and in no other, and the sum
of all coordinates, in quarter pixels and modulo 4, is the number of the split.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmbench.scenes.counter import BitsArray, IntArray, accepted, below, bits

BoolArray = npt.NDArray[np.bool_]

SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SIZES = ("small", "large")
PLURALS = {shape: f"{shape}es" if shape == "cross" else f"{shape}s" for shape in SHAPES}
HELD_OUT = {
    "red": "star",
    "orange": "circle",
    "yellow": "cross",
    "green": "triangle",
    "cyan": "square",
    "blue": "circle",
    "purple": "star",
    "white": "triangle",
}
SPLITS = {"train": 20_000, "validation": 2_000, "test": 2_000, "compositional": 2_000}

MOST = 4  # objects in a scene
CANVAS = 64  # pixels a side, the unit of coordinates
QUARTER = 4  # positions are whole quarters of a pixel
HALF_EXTENT = (28, 42)  # quarter pixels from the centre to the edge, by size
_GAP = 6  # quarter pixels between two bounding boxes
_MARGIN = 4  # quarter pixels between a bounding box and the border

_COUNTS = np.array([1] + [2] * 4 + [3] * 5 + [4] * 6)
_FREE, _SHAPE_ALIKE, _COLOUR_ALIKE = 0, 1, 2  # scenes of like objects make counts above two
_MOODS = np.array([_FREE] * 6 + [_SHAPE_ALIKE] * 5 + [_COLOUR_ALIKE] * 5)
_HELD_OUT_SHAPE = np.array([SHAPES.index(HELD_OUT[colour]) for colour in COLOURS])


class SceneObject(NamedTuple):
    """An object as people name it; x and y are its centre in pixels of 64, from the top left."""

    shape: str
    colour: str
    size: str
    x: float
    y: float


@dataclass(frozen=True)
class Scenes:
    """N scenes as arrays; objects beyond a scene's count are padding.

    Attributes:
        index: (N,), place in the split.
        count: (N,), objects in the scene, 1 to 4.
        shape, colour, size: (N, 4), places in `SHAPES`, `COLOURS` and `SIZES`.
        x, y: (N, 4), the centres in quarter pixels.
        background: (N, 3), a dark tint, red, green and blue.
    """

    index: IntArray
    count: IntArray
    shape: IntArray
    colour: IntArray
    size: IntArray
    x: IntArray
    y: IntArray
    background: IntArray

    def __len__(self) -> int:
        return len(self.index)

    def part(self, start: int, stop: int) -> Scenes:
        """The scenes from `start` up to `stop`."""
        return Scenes(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def objects(self) -> list[list[SceneObject]]:
        """The objects of each scene."""
        columns = (self.shape, self.colour, self.size, self.x, self.y)
        return [
            [
                SceneObject(SHAPES[s], COLOURS[c], SIZES[z], x / QUARTER, y / QUARTER)
                for s, c, z, x, y in zip(*rows, strict=True)
            ][:count]
            for count, *rows in zip(
                self.count.tolist(), *(a.tolist() for a in columns), strict=True
            )
        ]


def sample_scenes(split: str, index: IntArray) -> Scenes:
    """The scenes at these places (N,) of a split."""
    stream = f"scenes/{split}"
    count = _COUNTS[below(bits(f"{stream}/count", index, 1), len(_COUNTS))[:, 0]]
    mood = _MOODS[below(bits(f"{stream}/mood", index, 1), len(_MOODS))[:, 0]]
    shape, colour, size = _attributes(stream, index, count, mood, split == "compositional")
    x, y = _positions(stream, index, count, size, list(SPLITS).index(split))
    background = 24 + below(bits(f"{stream}/background", index, 3), 32)
    return Scenes(index, count, shape, colour, size, x, y, background)


def present(count: IntArray) -> BoolArray:
    """(N, 4): which of the four places hold an object."""
    return np.arange(MOST) < count[:, None]


def _attributes(
    stream: str, index: IntArray, count: IntArray, mood: IntArray, compositional: bool
) -> tuple[IntArray, IntArray, IntArray]:
    """Shapes, colours, sizes (N, 4): drawn until the split allows them and no object is twice."""

    def decode(draws: BitsArray, who: IntArray) -> list[IntArray]:
        of_shape, of_colour, of_size, of_alike = np.split(draws, 4, axis=-1)  # (n, tries, 4)
        shape, colour = below(of_shape, len(SHAPES)), below(of_colour, len(COLOURS))
        alike = np.where(below(of_alike, 10) > 0, mood[who, None, None], _FREE)
        shape = np.where(alike == _SHAPE_ALIKE, shape[..., :1], shape)
        colour = np.where(alike == _COLOUR_ALIKE, colour[..., :1], colour)
        return [shape, colour, below(of_size, len(SIZES))]

    def allowed(draws: BitsArray, who: IntArray) -> BoolArray:
        shape, colour, size = decode(draws, who)
        there = present(count[who])[:, None]
        held_out = ((shape == _HELD_OUT_SHAPE[colour]) & there).any(axis=-1)
        kind = np.where(there, (shape * len(COLOURS) + colour) * 2 + size, -1 - np.arange(MOST))
        kind.sort(axis=-1)
        return (held_out == compositional) & (np.diff(kind, axis=-1) != 0).all(axis=-1)

    draws = accepted(f"{stream}/attributes", index, 4 * MOST, allowed)
    shape, colour, size = decode(draws[:, None], np.arange(len(index)))
    return shape[:, 0], colour[:, 0], size[:, 0]


def _positions(
    stream: str, index: IntArray, count: IntArray, size: IntArray, remainder: int
) -> tuple[IntArray, IntArray]:
    """Centres (N, 4) in quarter pixels: drawn until no two bounding boxes come near."""
    half = np.array(HALF_EXTENT)[size]
    pairs = [(one, two) for two in range(MOST) for one in range(two)]

    def decode(draws: BitsArray, who: IntArray) -> list[IntArray]:
        low = half[who, None] + _MARGIN  # (n, 1, 4)
        room = CANVAS * QUARTER - 2 * low - 2
        x, y = (low + below(part, room) for part in np.split(draws, 2, axis=-1))
        total = ((x + y) * present(count[who])[:, None]).sum(axis=-1)
        x[..., 0] += (remainder - total) % len(SPLITS)
        return [x, y]

    def apart(draws: BitsArray, who: IntArray) -> BoolArray:
        x, y = decode(draws, who)
        good = np.ones(draws.shape[:2], bool)
        for one, two in pairs:
            distance = np.maximum(abs(x[..., one] - x[..., two]), abs(y[..., one] - y[..., two]))
            needed = half[who, one] + half[who, two] + _GAP
            good &= (distance >= needed[:, None]) | (count[who] <= two)[:, None]
        return good

    draws = accepted(f"{stream}/positions", index, 2 * MOST, apart)
    x, y = decode(draws[:, None], np.arange(len(index)))
    return x[:, 0], y[:, 0]
