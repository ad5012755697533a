import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmbench.scenes.render import PALETTE, render
from mmbench.scenes.stencils import FULL, stencils
from mmbench.scenes.video import VIDEO_SHAPES, render_videos, sample_videos
from mmbench.scenes.world import (
    COLOURS,
    HALF_EXTENT,
    SHAPES,
    SIZES,
    SPLITS,
    sample_scenes,
)

FIRST = np.arange(200)
# Of the first 200 pictures. Whoever changes one must raise VERSION in mmbench/scenes/store.py.
FINGERPRINTS = {
    ("train", 64): "9f4c02374f632e18",
    ("validation", 64): "b9151ee08826ae58",
    ("test", 64): "23044400e5fcfc47",
    ("compositional", 64): "2c2872850013b7da",
    ("train", 32): "204390debb04dd73",
}


@pytest.mark.parametrize(("split", "size"), FINGERPRINTS)
def test_pictures_are_the_same_bytes_on_every_machine(split, size):
    pictures = render(sample_scenes(split, FIRST), split, size)
    found = hashlib.sha256(pictures.tobytes()).hexdigest()[:16]
    assert found == FINGERPRINTS[split, size]


def test_a_range_made_alone_is_equal():
    whole = render(sample_scenes("test", FIRST), "test")
    part = render(sample_scenes("test", FIRST[30:34]), "test")
    np.testing.assert_array_equal(part, whole[30:34])


def test_blocks_do_not_show():
    many = np.arange(600)  # more than two blocks of the renderer
    whole = render(sample_scenes("train", many), "train")
    part = render(sample_scenes("train", many[250:600]), "train")
    np.testing.assert_array_equal(part, whole[250:600])


def test_half_the_size_is_the_mean_of_four_pixels():
    scenes = sample_scenes("test", FIRST)
    large = render(scenes, "test").astype(float)
    mean = large.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(render(scenes, "test", 32), np.floor(mean + 0.5))


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="32 or 64 pixels, not 48"):
        render(sample_scenes("test", FIRST), "test", 48)


@pytest.mark.parametrize("split", SPLITS)
def test_every_object_has_its_colour_at_its_place_and_all_else_is_background(split):
    scenes = sample_scenes(split, FIRST)
    pictures = render(scenes, split).astype(int)
    rows, columns = np.mgrid[:64, :64] + 0.5
    for picture, objects, tint in zip(pictures, scenes.objects(), scenes.background, strict=True):
        free = np.ones((64, 64), bool)
        for thing in objects:
            above = picture[int(thing.y), int(thing.x)] - PALETTE[COLOURS.index(thing.colour)]
            assert above.min() >= 0  # the noise
            assert above.max() <= 15
            reach = 8 if thing.size == "small" else 11.5
            free &= (abs(rows - thing.y) > reach) | (abs(columns - thing.x) > reach)
        above = (picture - tint)[free]
        assert above.min() >= 0
        assert above.max() <= 15


def test_every_object_has_its_shape():
    """Of Pillow's drawings of all shapes at that place, the one named is nearest."""
    extent = dict(zip(SIZES, HALF_EXTENT, strict=True))
    scenes = sample_scenes("test", FIRST[:40])
    pictures = render(scenes, "test")
    for picture, objects, tint in zip(pictures, scenes.objects(), scenes.background, strict=True):
        for thing in objects:
            ink = PALETTE[COLOURS.index(thing.colour)]
            assert nearest(picture, tint, ink, thing, extent[thing.size] / 4, SHAPES) == thing.shape


def test_every_object_of_a_video_has_its_shape():
    videos = sample_videos("test", FIRST[:40])
    frames = render_videos(videos, "test")[:, 0]
    for frame, objects, tint in zip(frames, videos.objects(), videos.background, strict=True):
        for thing in objects:
            ink = PALETTE[COLOURS.index(thing.colour)]
            if thing.motion != "appears":
                assert nearest(frame, tint, ink, thing, 3.5, VIDEO_SHAPES) == thing.shape


@pytest.mark.parametrize("shape", SHAPES)
def test_stencils_agree_with_pillows_drawing(shape):
    for place, half in enumerate(HALF_EXTENT):
        ours = stencils(HALF_EXTENT, 24)[SHAPES.index(shape), place, 2, 3] / FULL
        theirs = drawn(shape, half / 4, 11.75, 11.5, 24)
        assert abs(ours - theirs).max() < 0.15
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.02)


def nearest(picture, tint, ink, thing, half, shapes):
    """The shape whose drawing is most like the picture where the object is."""
    channel = abs(ink - tint).argmax()
    cover = (picture[..., channel] - 7.5 - tint[channel]) / (ink[channel] - tint[channel])
    rows, columns = np.mgrid[: len(picture), : len(picture)] + 0.5
    near = (abs(rows - thing.y) <= half + 0.5) & (abs(columns - thing.x) <= half + 0.5)
    errors = [
        abs(cover - drawn(shape, half, thing.x, thing.y, len(picture)))[near].sum()
        for shape in shapes
    ]
    return shapes[int(np.argmin(errors))]


def drawn(shape, half, x, y, side):
    """How much of each pixel a shape covers, drawn 16 times as large by Pillow: (side, side)."""
    large = Image.new("L", (side * 16, side * 16))
    draw = ImageDraw.Draw(large)
    if shape == "circle":
        reach = 0.95 * half
        draw.ellipse([16 * v for v in (x - reach, y - reach, x + reach, y + reach)], 255)
    else:
        draw.polygon([(16 * (x + half * a), 16 * (y + half * b)) for a, b in OUTLINES[shape]], 255)
    return np.asarray(large).reshape(side, 16, side, 16).mean(axis=(1, 3)) / 255


def _star():
    """Five points of 1.05 half extents about a centre a little below the box's."""
    turns = np.arange(10) * np.pi / 5
    reach = np.tile([1.05, 0.42 * 1.05], 5)
    return list(zip(reach * np.sin(turns), 0.07 - reach * np.cos(turns), strict=True))


OUTLINES = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -0.95), (1, 0.8), (-1, 0.8)],
    "star": _star(),
    "cross": [
        *[(-0.32, -0.96), (0.32, -0.96), (0.32, -0.32), (0.96, -0.32), (0.96, 0.32), (0.32, 0.32)],
        *[(0.32, 0.96), (-0.32, 0.96), (-0.32, 0.32), (-0.96, 0.32), (-0.96, -0.32)],
        (-0.32, -0.32),
    ],
}
