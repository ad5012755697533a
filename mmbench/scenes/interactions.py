"""Questions of which it is known how their answer lies in the modalities, and what they are about.

An answer is *redundant* (either medium tells it), *unique* to one medium, or a *synergy*: an
exclusive-or of a fact that is seen and one that is heard, of which each alone says nothing. The
words are those of partial information decomposition (Williams and Beer 2010, arXiv 1004.2515).

The facts of a split are no draws: they come in blocks in which every combination stands equally
often, so that what a modality alone can tell is exact on the split itself and not only expected
(`mmbench/scenes/ceilings.py` counts it). All else that varies (colour, place, length, noise) is
drawn without regard to the facts. A picture shows a circle, which is asked for its size, or a
square, which is asked for its height; a sound is a tone, asked for its loudness, or a buzz, asked
for its pitch. So each medium says by itself which of its facts counts; the other one is a decoy.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmbench.scenes.audio import AMPLITUDE, DURATION, FREQUENCY, PITCHES, TIMBRES, Sounds, between
from mmbench.scenes.counter import IntArray, below, bits
from mmbench.scenes.world import CANVAS, COLOURS, HALF_EXTENT, MOST, QUARTER, SHAPES, Scenes

REDUNDANT, SYNERGY = "redundant", "synergy"
PAIR_CATEGORIES = (REDUNDANT, "unique_image", "unique_audio", SYNERGY)
PICTURE_CATEGORIES = (REDUNDANT, "unique_image", "unique_text", SYNERGY)
PAIRS = {"train": 4096, "validation": 512, "test": 1536}  # of a picture and a sound
PICTURES = {"train": 2048, "validation": 256, "test": 768}  # that stand alone
SAMPLES = 2_000  # in a sound: 0.5 s

# By kind, 0 or 1: what is seen, and how it is if its bit is 0 and if it is 1; the same of sounds.
SEEN = (("circle", "small", "large"), ("square", "at the bottom", "at the top"))
HEARD = (("tone", "soft", "loud"), ("buzz", "low", "high"))

_PAIR_BITS = 7  # facts of a pair, which make a block of 128
_PICTURE_BITS = 6
_EDGE = max(HALF_EXTENT) + 4  # quarter pixels between the border and the nearest centre
_HEIGHTS = np.array([CANVAS * QUARTER - _EDGE - 50, _EDGE])  # the least y at the bottom, at the top


class Asked(NamedTuple):
    """A question.

    Attributes:
        question, answer, category: what is asked; "yes" or "no"; one of the categories.
        shown: by modality, the facts that it shows: of text the question itself.
    """

    question: str
    answer: str
    category: str
    shown: Mapping[str, Hashable]


@dataclass(frozen=True)
class Pairs:
    """N pairs of a picture and a sound, as arrays (N,) of 0 and 1.

    Attributes:
        index: place in the split.
        kind: circle and tone, or square and buzz.
        agrees: whether seen and heard are the same by construction: what redundancy is asked of.
        seen: the bit of the picture that is asked for; other_seen: the decoy.
        heard, other_heard: the same of the sound.
        wording: how it is asked.
    """

    index: IntArray
    kind: IntArray
    agrees: IntArray
    seen: IntArray
    other_seen: IntArray
    heard: IntArray
    other_heard: IntArray
    wording: IntArray

    def asked(self) -> list[list[Asked]]:
        """The questions about each pair."""
        return [_about_pair(*row) for row in _rows(self)]


@dataclass(frozen=True)
class Pictures:
    """N pictures that are asked about in words which have facts of their own, as arrays (N,).

    Attributes:
        index, kind, seen, other_seen, wording: as of `Pairs`.
        told: what the question says of another thing that alone is asked for.
        compared: what it says of one that the picture is compared with.
    """

    index: IntArray
    kind: IntArray
    seen: IntArray
    other_seen: IntArray
    told: IntArray
    compared: IntArray
    wording: IntArray

    def asked(self) -> list[list[Asked]]:
        """The questions about each picture."""
        return [_about_picture(*row) for row in _rows(self)]


def sample_pairs(split: str, index: IntArray) -> Pairs:
    """The pairs at these places (N,) of a split."""
    kind, wording, agrees, seen, other_seen, other_heard, free = _design(
        f"interactions/{split}", index, _PAIR_BITS
    )
    heard = np.where(agrees == 1, seen, free)
    return Pairs(index, kind, agrees, seen, other_seen, heard, other_heard, wording)


def sample_pictures(split: str, index: IntArray) -> Pictures:
    """The pictures that stand alone, at these places (N,) of a split."""
    facts = _design(f"interactions_image/{split}", index, _PICTURE_BITS)
    kind, wording, seen, other_seen, told, compared = facts
    return Pictures(index, kind, seen, other_seen, told, compared, wording)


def scenes_of(shown: Pairs | Pictures, split: str) -> Scenes:
    """What the pictures show: one object each, of any colour, anywhere in its half."""
    index = shown.index
    stream = f"{_dataset(shown)}/{split}"
    size = np.where(shown.kind == 0, shown.seen, shown.other_seen)
    height = np.where(shown.kind == 0, shown.other_seen, shown.seen)
    limits = np.stack([np.full(len(index), _EDGE), _HEIGHTS[height]], 1)
    room = np.array([CANVAS * QUARTER - 2 * _EDGE - 2, 51])
    x, y = (limits + below(bits(f"{stream}/place", index, 2), room)).T
    x += (list(PAIRS).index(split) - x - y) % len(PAIRS)  # no picture is in two splits
    shapes = np.array([SHAPES.index(thing) for thing, *_ in SEEN])
    colour = below(bits(f"{stream}/colour", index, 1), len(COLOURS))[:, 0]
    shape, colour, size, x, y = (
        np.repeat(column[:, None], MOST, 1) for column in (shapes[shown.kind], colour, size, x, y)
    )
    background = 24 + below(bits(f"{stream}/background", index, 3), 32)
    return Scenes(index, np.ones_like(index), shape, colour, size, x, y, background)


def sounds_of(pairs: Pairs, split: str) -> Sounds:
    """What is heard of the pairs: one tone or buzz each, short or long, at any time."""
    index = pairs.index
    stream = f"interactions/{split}"
    loudness = np.where(pairs.kind == 0, pairs.heard, pairs.other_heard)
    high = np.where(pairs.kind == 0, pairs.other_heard, pairs.heard)
    pitch = high * (len(PITCHES) - 1)  # none in the middle
    timbre = np.array([TIMBRES.index(thing) for thing, *_ in HEARD])[pairs.kind]
    length = below(bits(f"{stream}/length", index, 1), len(DURATION))[:, 0]
    duration = between(f"{stream}/duration", index, DURATION[length][:, None])
    start = below(bits(f"{stream}/start", index, 1), SAMPLES - duration + 1)
    frequency = between(f"{stream}/frequency", index, FREQUENCY[pitch][:, None])
    frequency += (list(PAIRS).index(split) - frequency) % len(PAIRS)  # no sound is in two splits
    amplitude = between(f"{stream}/amplitude", index, AMPLITUDE[loudness][:, None])
    length, loudness, pitch, timbre = (
        column[:, None] for column in (length, loudness, pitch, timbre)
    )
    return Sounds(
        *(index, np.ones_like(index), length, loudness, pitch, timbre),
        *(start, duration, frequency, amplitude),
    )


def _design(stream: str, index: IntArray, facts: int) -> tuple[IntArray, ...]:
    """So many bits (N,) of the items at these places; each block of 2**facts has all, shuffled."""
    size = 2**facts
    cell = np.empty_like(index)
    for block in np.unique(index // size):
        here = index // size == block
        draws = bits(f"{stream}/order", block * size + np.arange(size), 1)[:, 0]
        cell[here] = np.argsort(draws, kind="stable")[index[here] % size]
    return tuple(cell >> place & 1 for place in range(facts))


def _rows(facts: Pairs | Pictures) -> list[tuple[int, ...]]:
    """The facts of each item, in the order of the fields, without its index."""
    _, *columns = vars(facts).values()
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _dataset(shown: Pairs | Pictures) -> str:
    return "interactions" if isinstance(shown, Pairs) else "interactions_image"


def _about_pair(
    kind: int,
    agrees: int,
    seen: int,
    other_seen: int,
    heard: int,
    other_heard: int,
    wording: int,
) -> list[Asked]:
    shown = {"image": (kind, seen, other_seen), "audio": (kind, heard, other_heard)}
    thing, _, looks = SEEN[kind]
    noise, _, sounds = HEARD[kind]
    if agrees:
        both = _whether(thing, f"{looks} and the {noise} {sounds}", wording)
        return [_asked(both, seen, REDUNDANT, shown)]
    either = _whether(thing, f"{looks} or the {noise} {sounds}, but not both", wording)
    return [
        _asked(_whether(thing, looks, wording), seen, "unique_image", shown),
        _asked(_whether(noise, sounds, wording), heard, "unique_audio", shown),
        _asked(either, seen ^ heard, SYNERGY, shown),
    ]


def _about_picture(
    kind: int, seen: int, other_seen: int, told: int, compared: int, wording: int
) -> list[Asked]:
    shown = {"image": (kind, seen, other_seen)}
    thing, *values = SEEN[kind]
    quality = ("size", "height")[kind]
    other = f"imagine a {thing} that is" if wording else f"another {thing} is"
    here = "as you see, the" if wording else "the"
    stated = f"{here} {thing} is {values[seen]}: is it {values[1]}?"
    alone = f"{other} {values[told]}: is that one {values[1]}?"
    differ = f"{other} {values[compared]}: do the two differ in {quality}?"
    return [
        _asked(stated, seen, REDUNDANT, shown),
        _asked(_whether(thing, values[1], wording), seen, "unique_image", shown),
        _asked(alone, told, "unique_text", shown),
        _asked(differ, seen ^ compared, SYNERGY, shown),
    ]


def _whether(thing: str, claim: str, wording: int) -> str:
    return f"is it true that the {thing} is {claim}?" if wording else f"is the {thing} {claim}?"


def _asked(text: str, answer: int, category: str, shown: Mapping[str, Hashable]) -> Asked:
    return Asked(text, ("no", "yes")[answer], category, {**shown, "text": text})
