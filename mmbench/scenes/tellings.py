"""What made-up words name, told in words alone, or in words and pictures: "red dax. □ wug. □ dax."

As language does, and unlike an episode, a telling comes back to what it has named, to some things
more often than to others, so that a word is worth looking up among those before it (Chan et al.,
Data Distributional Properties Drive Emergent In-Context Learning, 2022, arXiv 2205.05055). With
pictures it is what Flamingo learns from: documents in which images stand between words (arXiv
2204.14198, sec. 2.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmbench.scenes.counter import Dice, IntArray
from mmbench.zoo.words import IMAGE_PLACE

EXAMPLES = (0, 2, 4, 8)  # in an episode; a block has a family of each
WORDS = ("blick", "dax", "fep", "wug")
PICTURES = sum(len(WORDS) + examples for examples in EXAMPLES)  # of a block
TELLINGS = 32  # of a family
SENTENCES = 16  # in a telling

_OFTEN = 8  # squared, how often one thing is told of where another is told of once


class Telling(NamedTuple):
    """A telling.

    Attributes:
        told: in words alone.
        text: with a mark where a picture stands in place of the word for what it shows; up to the
            last picture.
        answer: the word that follows.
        pictures: places among the split's.
        family: the number of its block, and of the examples in the episodes that show as much.
    """

    told: str
    text: str
    answer: str
    pictures: list[int]
    family: str


def start_of(family: int) -> int:
    """The place in its block of a family's first picture."""
    return sum(len(WORDS) + examples for examples in EXAMPLES[:family])


def tellings(
    stream: str, index: IntArray, shown: IntArray, names: Sequence[str]
) -> list[list[Telling]]:
    """The tellings of each block.

    Args:
        stream: of the draws.
        index: (N,), places of the blocks in their split.
        shown: (N, PICTURES), of what kind each picture shows a thing.
        names: of the kinds.
    """
    return [
        [
            _telling(
                dice,
                block * PICTURES + start_of(family),
                [names[kind] for kind in kinds[start_of(family) : start_of(family + 1)]],
                f"{block}/{examples}",
            )
            for family, examples in enumerate(EXAMPLES)
            for dice in Dice.of(
                f"{stream}/tellings/{examples}", block * TELLINGS + np.arange(TELLINGS)
            )
        ]
        for block, kinds in zip(index.tolist(), shown.tolist(), strict=True)
    ]


def _telling(dice: Dice, start: int, shown: Sequence[str], family: str) -> Telling:
    """A telling of what pictures show that stand from a place on; the first four differ."""
    things = shown[: len(WORDS)]
    words = dict(zip(things, dice.shuffled(WORDS), strict=True))
    often = [thing for thing in things for _ in range((1 + dice.below(_OFTEN)) ** 2)]
    told = [dice.pick(often) for _ in range(SENTENCES)]
    pictures = []
    marked = []
    for place, thing in enumerate(told, 1):
        pictured = place == SENTENCES or dice.below(2) == 0
        if pictured:
            pictures.append(
                start + dice.pick([at for at, kind in enumerate(shown) if kind == thing])
            )
        marked.append(IMAGE_PLACE if pictured else thing)
    sentences = [f"{mark} {words[thing]}." for mark, thing in zip(marked, told, strict=True)]
    return Telling(
        told=" ".join(f"{thing} {words[thing]}." for thing in told),
        text=" ".join([*sentences[:-1], IMAGE_PLACE]),
        answer=words[told[-1]],
        pictures=pictures,
        family=family,
    )
