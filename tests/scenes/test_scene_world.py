import numpy as np
import pytest

from mmbench.scenes.world import (
    CANVAS,
    COLOURS,
    HALF_EXTENT,
    HELD_OUT,
    QUARTER,
    SHAPES,
    SIZES,
    SPLITS,
    sample_scenes,
)


def objects(split, count=2000):
    return sample_scenes(split, np.arange(count)).objects()


def test_a_range_made_alone_is_equal():
    whole = sample_scenes("train", np.arange(1000))
    part = sample_scenes("train", np.arange(370, 420))
    assert part.objects() == whole.objects()[370:420]
    np.testing.assert_array_equal(part.background, whole.background[370:420])


def test_held_out_combinations_are_in_every_compositional_scene_and_in_no_other():
    for split, count in SPLITS.items():
        for scene in objects(split, count):
            held_out = any(HELD_OUT[thing.colour] == thing.shape for thing in scene)
            assert held_out == (split == "compositional")


def test_every_colour_and_every_shape_is_trained_on_in_other_combinations():
    pairs = {(thing.colour, thing.shape) for scene in objects("train") for thing in scene}
    assert len(pairs) == len(COLOURS) * len(SHAPES) - len(HELD_OUT)


def test_no_scene_is_in_two_splits():
    seen = set()
    for number, (split, count) in enumerate(SPLITS.items()):
        scenes = objects(split, count)
        for scene in scenes:
            assert sum(QUARTER * (thing.x + thing.y) for thing in scene) % 4 == number
        keys = {tuple(sorted(scene)) for scene in scenes}
        assert not keys & seen
        seen |= keys
    assert len(seen) > 0.999 * sum(SPLITS.values())


def test_objects_of_a_scene_differ_lie_inside_and_apart():
    extent = dict(zip(SIZES, HALF_EXTENT, strict=True))
    for scene in objects("train"):
        assert len({thing[:3] for thing in scene}) == len(scene)
        for place, one in enumerate(scene):
            reach = extent[one.size] / QUARTER
            assert reach + 1 <= min(one.x, one.y)
            assert max(one.x, one.y) <= CANVAS - reach - 1
            for two in scene[:place]:
                gap = max(abs(one.x - two.x), abs(one.y - two.y))
                assert gap >= reach + extent[two.size] / QUARTER + 1.5


@pytest.mark.parametrize("split", SPLITS)
def test_all_counts_shapes_colours_and_sizes_are_common(split):
    scenes = objects(split)
    counts = np.bincount([len(scene) for scene in scenes], minlength=5) / len(scenes)
    assert abs(counts[1:] - np.array([1, 4, 5, 6]) / 16).max() < 0.04
    things = [thing for scene in scenes for thing in scene]
    for place, values in enumerate((SHAPES, COLOURS, SIZES)):
        shares = [sum(thing[place] == value for thing in things) / len(things) for value in values]
        assert min(shares) > 0.6 / len(values)
        assert max(shares) < 1.4 / len(values)
