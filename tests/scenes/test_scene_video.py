"""Videos and their captions, read from the frames and from the words alone."""

import hashlib
import re
from functools import lru_cache

import numpy as np
import pytest

from mmbench.scenes.build import video_content
from mmbench.scenes.render import PALETTE
from mmbench.scenes.video import MOTIONS, VIDEO_SPLITS, sample_videos
from mmbench.scenes.world import COLOURS

FIRST = np.arange(200)
# Of the first 200 videos. Whoever changes one must raise VERSION in mmbench/scenes/store.py.
FINGERPRINTS = {
    "train": "9347b122b305b439",
    "validation": "6653c7a0a74c8661",
    "test": "d4036cf237fc78f1",
}
STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # of a motion
PIXELS = {"slow": 0.5, "fast": 1.0}  # from frame to frame

THING = re.compile(
    r"a (red|yellow|green|blue) (circle|square|triangle) (.+?)(?= and a | while a | with a |$)"
)
DOES = {
    "left": r"(moves|moving) to the left|(goes|going) left",
    "right": r"(moves|moving) to the right|(goes|going) right",
    "up": r"(moves|moving) up|rises|rising",
    "down": r"(moves|moving) down|falls|falling",
    "still": r"stays still|does not move|staying still|not moving",
    "appears": r"appears|appearing|shows up|showing up",
    "disappears": r"disappears|disappearing|vanishes|vanishing",
}


@lru_cache
def content(split):
    return video_content(split, FIRST)


@lru_cache
def movers(split, count=200):
    return sample_videos(split, np.arange(count)).objects()


@pytest.mark.parametrize("split", VIDEO_SPLITS)
def test_videos_are_the_same_bytes_on_every_machine(split):
    pixels = content(split)["pixels"]
    assert pixels.shape == (200, 16, 32, 32, 3)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == FINGERPRINTS[split]


def test_a_range_made_alone_is_equal():
    part = video_content("train", FIRST[130:135])
    np.testing.assert_array_equal(part["pixels"], content("train")["pixels"][130:135])
    assert part["texts"] == content("train")["texts"][130:135]
    assert part["claims"] == content("train")["claims"][130:135]


def test_no_video_is_in_two_splits():
    seen = set()
    for number, (split, count) in enumerate(VIDEO_SPLITS.items()):
        videos = movers(split, count)
        for video in videos:
            assert sum(4 * (thing.x + thing.y) for thing in video) % 3 == number
        keys = {tuple(sorted(thing[:2] + thing[4:6] for thing in video)) for video in videos}
        assert not keys & seen
        seen |= keys


@pytest.mark.parametrize("split", VIDEO_SPLITS)
def test_every_frame_shows_each_object_where_its_motion_takes_it_and_nothing_else(split):
    tints = sample_videos(split, FIRST).background
    rows, columns = np.mgrid[:32, :32] + 0.5
    for video, objects, tint in zip(content(split)["pixels"], movers(split), tints, strict=True):
        for number, frame in enumerate(video.astype(int)):
            free = np.ones((32, 32), bool)
            for thing in objects:
                (x, y), seen = where(thing, number)
                if not seen:
                    continue
                above = frame[int(y), int(x)] - PALETTE[COLOURS.index(thing.colour)]
                assert above.min() >= 0  # the noise
                assert above.max() <= 15
                free &= (abs(rows - y) > 4) | (abs(columns - x) > 4)
            above = (frame - tint)[free]
            assert above.min() >= 0
            assert above.max() <= 15


@pytest.mark.parametrize("split", VIDEO_SPLITS)
def test_objects_stay_inside_and_never_come_near_one_another(split):
    for objects in movers(split):
        for number in range(16):
            places = [where(thing, number)[0] for thing in objects]
            assert all(min(place) >= 4 and max(place) <= 28 for place in places)
            for place, (x, y) in enumerate(places):
                for x2, y2 in places[:place]:
                    assert max(abs(x - x2), abs(y - y2)) >= 7.5


@pytest.mark.parametrize("split", VIDEO_SPLITS)
def test_five_different_captions_claim_and_say_what_the_objects_do(split):
    for objects, texts, claims in zip(
        movers(split), content(split)["texts"], content(split)["claims"], strict=True
    ):
        assert len(set(texts)) == len(texts) == len(claims) == 5
        facts = sorted((o.shape, o.colour, o.motion, o.speed or "") for o in objects)
        for text, claim in zip(texts, claims, strict=True):
            keys = ("shape", "colour", "motion", "speed")
            claimed = [tuple(o.get(key, "") for key in keys) for o in claim["objects"]]
            assert sorted(claimed) == facts
            assert read(text) == claimed, text
            says = re.match(r"(only|of two shapes|of three shapes) ", text)
            assert claim["count"] == (len(objects) if says else None)


def test_the_objects_alone_do_not_tell_videos_apart():
    """Of videos with the same objects, the captions differ as the motions do."""
    by_objects = {}
    for objects in movers("train", 2000):
        kinds = tuple(sorted((thing.colour, thing.shape) for thing in objects))
        motions = tuple(sorted(thing[:4] for thing in objects))
        by_objects.setdefault(kinds, []).append(motions)
    assert len(by_objects) < 300
    several = [motions for motions in by_objects.values() if len(motions) > 1]
    assert sum(map(len, several)) > 1900
    assert np.mean([len(set(motions)) / len(motions) for motions in several]) > 0.95


def test_motions_and_speeds_come_equally_often():
    things = [thing for objects in movers("train", 2000) for thing in objects]
    for motion in MOTIONS:
        assert sum(thing.motion == motion for thing in things) / len(things) == pytest.approx(
            1 / 7, abs=0.02
        )
    fast = [thing.speed == "fast" for thing in things if thing.speed]
    assert np.mean(fast) == pytest.approx(0.5, abs=0.03)


def where(thing, frame):
    """An object's centre in a frame, and whether it is there."""
    moved = PIXELS[thing.speed] * frame if thing.speed else 0
    across, down = STEP.get(thing.motion, (0, 0))
    gone = thing.change is not None and (frame < thing.change) == (thing.motion == "appears")
    return (thing.x + across * moved, thing.y + down * moved), not gone


def read(text):
    """Shape, colour, motion and speed ('' where none is told) of each object, by the words."""
    found = []
    for colour, shape, does in THING.findall(text):
        does = does.removeprefix("that ")
        (motion,) = [m for m, words in DOES.items() if re.match(rf"(?:{words})\b", does)]
        speed = re.search(r"(slowly)|(?:quickly|fast)$", does)
        name = ("slow" if speed[1] else "fast") if speed else ""
        found.append((shape, colour, motion, name))
    return found
