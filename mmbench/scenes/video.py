"""Videos of one to three moving objects, with five captions that tell how each of them moves.

There are few colours and shapes, so that many videos show the same objects and only their motion
tells them apart. Objects move along straight lines at one of two speeds, stay, appear or
disappear; they never overlap. The sum of all first coordinates, in quarter pixels and modulo 3, is
the number of the split, so that no video is in two splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypedDict

import numpy as np

from mmbench.scenes.counter import BitsArray, Dice, IntArray, accepted, below, bits, distinct
from mmbench.scenes.render import PALETTE, ByteArray, noise, paint
from mmbench.scenes.stencils import stencils
from mmbench.scenes.world import COLOURS, QUARTER, SHAPES, BoolArray

VIDEO_SPLITS = {"train": 8_000, "validation": 1_000, "test": 1_000}
VIDEO_SHAPES = ("circle", "square", "triangle")
VIDEO_COLOURS = ("red", "yellow", "green", "blue")
MOTIONS = ("left", "right", "up", "down", "still", "appears", "disappears")
SPEEDS = ("slow", "fast")
FRAMES = 16
SIDE = 32  # pixels of a frame

_MOST = 3  # objects in a video
_HALF_EXTENT = 14  # quarter pixels from an object's centre to its edge
_STEP = np.array([2, 4])  # quarter pixels from frame to frame, by speed
_DIRECTION = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (0, 0), (0, 0)])  # by motion
_STILL = 4  # this and later motions stay where they are
_APPEARS, _DISAPPEARS = 5, 6
_CHANGE = (5, 11)  # the first frame of which something has appeared or disappeared, from .. to
_GAP = 2  # quarter pixels between two bounding boxes, and to the border
_COUNTS = np.array([1] + [2] * 5 + [3] * 6)
_STENCIL = 10
_BORDER = 4
_BLOCK = 64


class Mover(NamedTuple):
    """An object of a video; x and y are its centre in the first frame, in pixels of 32.

    `speed` is None for what stays, appears or disappears; `change` is the first frame in which it
    has appeared or disappeared, else None.
    """

    shape: str
    colour: str
    motion: str
    speed: str | None
    x: float
    y: float
    change: int | None


class MoverClaim(TypedDict, total=False):
    """What a caption says of one object; what it leaves open is left out."""

    shape: str
    colour: str
    motion: str
    speed: str


class VideoClaims(TypedDict):
    """What a caption says: of which objects, and how many it says there are, or None."""

    objects: list[MoverClaim]
    count: int | None


class VideoCaption(NamedTuple):
    """A sentence and what it claims."""

    text: str
    claims: VideoClaims


@dataclass(frozen=True)
class Videos:
    """N videos as arrays; objects beyond a video's count are padding.

    Attributes:
        index: (N,), place in the split.
        count: (N,), objects in the video, 1 to 3.
        shape, colour: (N, 3), places in `VIDEO_SHAPES` and `VIDEO_COLOURS`.
        motion, speed: (N, 3), places in `MOTIONS` and `SPEEDS`.
        change: (N, 3), the frame from which an object has appeared or disappeared.
        x, y: (N, 3), the centres in the first frame, in quarter pixels.
        background: (N, 3), a dark tint, red, green and blue.
    """

    index: IntArray
    count: IntArray
    shape: IntArray
    colour: IntArray
    motion: IntArray
    speed: IntArray
    change: IntArray
    x: IntArray
    y: IntArray
    background: IntArray

    def __len__(self) -> int:
        return len(self.index)

    def part(self, start: int, stop: int) -> Videos:
        """The videos from `start` up to `stop`."""
        return Videos(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def objects(self) -> list[list[Mover]]:
        """The objects of each video."""
        columns = (self.shape, self.colour, self.motion, self.speed, self.x, self.y, self.change)
        return [
            [_mover(*row) for row in zip(*rows, strict=True)][:count]
            for count, *rows in zip(
                self.count.tolist(), *(a.tolist() for a in columns), strict=True
            )
        ]


def sample_videos(split: str, index: IntArray) -> Videos:
    """The videos at these places (N,) of a split."""
    stream = f"scenes_video/{split}"
    count = _COUNTS[below(bits(f"{stream}/count", index, 1), len(_COUNTS))[:, 0]]
    kind = distinct(bits(f"{stream}/kinds", index, _MOST), len(VIDEO_SHAPES) * len(VIDEO_COLOURS))
    motion = below(bits(f"{stream}/motion", index, _MOST), len(MOTIONS))
    speed = below(bits(f"{stream}/speed", index, _MOST), len(SPEEDS))
    change = _CHANGE[0] + below(bits(f"{stream}/change", index, _MOST), _CHANGE[1] - _CHANGE[0] + 1)
    step = _STEP[speed][..., None] * _DIRECTION[motion]  # (N, 3, 2)
    x, y = _positions(stream, index, count, step, list(VIDEO_SPLITS).index(split))
    background = 24 + below(bits(f"{stream}/background", index, 3), 32)
    shape, colour = kind // len(VIDEO_COLOURS), kind % len(VIDEO_COLOURS)
    return Videos(index, count, shape, colour, motion, speed, change, x, y, background)


def render_videos(videos: Videos, split: str) -> ByteArray:
    """Videos (N, 16, 32, 32, 3) uint8.

    Args:
        videos: from `sample_videos` for the same split.
        split: whose noise to add; a video's is the same in each frame.
    """
    pixels = np.empty((len(videos), FRAMES, SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(videos), _BLOCK):
        block = videos.part(start, start + _BLOCK)
        planes = _draw(block)
        planes += noise(f"scenes_video/{split}/noise", block.index, (1, 1, SIDE, SIDE))
        pixels[start : start + _BLOCK] = planes.transpose(0, 1, 3, 4, 2)
    return pixels


def video_captions(objects: Sequence[Mover], dice: Dice) -> list[VideoCaption]:
    """Five captions of a video, no two alike.

    Args:
        objects: one to three.
        dice: draws orders and words.
    """
    return [_tell(form, dice.shuffled(objects), dice) for form in dice.shuffled(_FORMS)]


def _mover(shape: int, colour: int, motion: int, speed: int, x: int, y: int, change: int) -> Mover:
    return Mover(
        VIDEO_SHAPES[shape],
        VIDEO_COLOURS[colour],
        MOTIONS[motion],
        SPEEDS[speed] if motion < _STILL else None,
        x / QUARTER,
        y / QUARTER,
        change if motion in (_APPEARS, _DISAPPEARS) else None,
    )


def _positions(
    stream: str, index: IntArray, count: IntArray, step: IntArray, remainder: int
) -> tuple[IntArray, IntArray]:
    """First centres (N, 3) in quarter pixels: drawn until no two boxes ever come near."""
    travel = step * (FRAMES - 1)  # (N, 3, 2)
    margin = _HALF_EXTENT + _GAP
    low = margin - np.minimum(travel, 0)
    room = SIDE * QUARTER - margin - np.maximum(travel, 0) - low

    def decode(draws: BitsArray, who: IntArray) -> IntArray:
        places = draws.reshape(*draws.shape[:2], _MOST, 2)
        centre = low[who, None] + below(places, room[who, None] - 1)  # (n, tries, 3, 2)
        there = (np.arange(_MOST) < count[who, None])[:, None, :, None]
        total = (centre * there).sum(axis=(2, 3))
        centre[..., 0, 0] += (remainder - total) % len(VIDEO_SPLITS)
        return centre

    def apart(draws: BitsArray, who: IntArray) -> BoolArray:
        centre = decode(draws, who)[:, :, None]  # (n, tries, 1, 3, 2)
        moved = centre + np.arange(FRAMES)[:, None, None] * step[who, None, None]
        good = np.ones(draws.shape[:2], bool)
        for one, two in ((0, 1), (0, 2), (1, 2)):
            distance = np.abs(moved[..., one, :] - moved[..., two, :]).max(axis=-1)
            clear = (distance >= 2 * _HALF_EXTENT + _GAP).all(axis=-1)
            good &= clear | (count[who] <= two)[:, None]
        return good

    draws = accepted(f"{stream}/positions", index, 2 * _MOST, apart)
    centre = decode(draws[:, None], np.arange(len(index)))[:, 0]
    return centre[..., 0], centre[..., 1]


def _draw(videos: Videos) -> ByteArray:
    """The videos without noise, (N, 16, 3, 32, 32)."""
    table = stencils((_HALF_EXTENT,), _STENCIL)
    shapes = np.array([SHAPES.index(name) for name in VIDEO_SHAPES])
    palette = PALETTE[[COLOURS.index(name) for name in VIDEO_COLOURS]]
    side = SIDE + 2 * _BORDER
    canvas = np.empty((len(videos), FRAMES, 3, side, side), np.uint8)
    canvas[:] = videos.background[:, None, :, None, None]
    motion, change = videos.motion[..., None], videos.change[..., None]
    frames = np.arange(FRAMES)
    seen = (motion != _APPEARS) | (frames >= change)  # (N, 3, 16)
    seen &= (motion != _DISAPPEARS) | (frames < change)
    seen &= (np.arange(_MOST) < videos.count[:, None])[..., None]
    who, place, frame = np.nonzero(seen)
    moved = _STEP[videos.speed[who, place]] * frame
    across, down = _DIRECTION[videos.motion[who, place]].T
    x, y = videos.x[who, place] + moved * across, videos.y[who, place] + moved * down
    coverage = table[shapes[videos.shape[who, place]], 0, y % QUARTER, x % QUARTER]
    ink = palette[videos.colour[who, place]] - videos.background[who]
    start = _BORDER - (_STENCIL - 1) // 2
    flat = canvas.reshape(-1, 3, side, side)
    paint(flat, who * FRAMES + frame, coverage, ink, y // QUARTER + start, x // QUARTER + start)
    return canvas[..., _BORDER:-_BORDER, _BORDER:-_BORDER].copy()


class _Form(NamedTuple):
    """A way to tell a video: the words before and between the objects and what they do."""

    openings: tuple[str, ...]
    joint: str  # between an object and what it does
    joints: tuple[str, ...]  # before the last object
    words: Mapping[str, tuple[str, ...]]


_VERBS = {
    "left": ("moves to the left", "goes left"),
    "right": ("moves to the right", "goes right"),
    "up": ("moves up", "rises"),
    "down": ("moves down", "falls"),
    "still": ("stays still", "does not move"),
    "appears": ("appears", "shows up"),
    "disappears": ("disappears", "vanishes"),
}
_GERUNDS = {
    "left": ("moving to the left", "going left"),
    "right": ("moving to the right", "going right"),
    "up": ("moving up", "rising"),
    "down": ("moving down", "falling"),
    "still": ("staying still", "not moving"),
    "appears": ("appearing", "showing up"),
    "disappears": ("disappearing", "vanishing"),
}
_ADVERBS = {"slow": ("slowly",), "fast": ("quickly", "fast")}
_COUNTED = ("", "only ", "of two shapes ", "of three shapes ")
_FORMS = (
    _Form(("",), " ", (" while ",), _VERBS),
    _Form(("there is ",), " that ", (" and ",), _VERBS),
    _Form(("in the video ", "in this clip "), " ", (" and ",), _VERBS),
    _Form(("you can see ",), " ", (" and ", " with "), _GERUNDS),
    _Form(_COUNTED, " ", (" and ",), _VERBS),
)


def _tell(form: _Form, order: Sequence[Mover], dice: Dice) -> VideoCaption:
    """A caption that mentions the objects in this order."""
    counted = form.openings is _COUNTED
    opening = _COUNTED[len(order)] if counted else dice.pick(form.openings)
    parts = []
    for thing in order:
        does = dice.pick(form.words[thing.motion])
        if thing.speed is not None:
            does = f"{does} {dice.pick(_ADVERBS[thing.speed])}"
        parts.append(f"a {thing.colour} {thing.shape}{form.joint}{does}")
    *first, last = parts
    before = " and ".join(first) + dice.pick(form.joints) if first else ""
    claims: VideoClaims = {
        "objects": [_claim(thing) for thing in order],
        "count": len(order) if counted else None,
    }
    return VideoCaption(opening + before + last, claims)


def _claim(thing: Mover) -> MoverClaim:
    claim: MoverClaim = {"shape": thing.shape, "colour": thing.colour, "motion": thing.motion}
    if thing.speed is not None:
        claim["speed"] = thing.speed
    return claim
