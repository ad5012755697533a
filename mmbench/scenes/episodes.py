"""Episodes: made-up words name colours (or shapes), and what they name is drawn anew each time.

An episode shows so many examples, pictures of one object each with its word, and asks for the
word of one more picture. Four words name four colours of the eight; which names which is said by
the examples alone. Which pictures there are, and which words, says nothing of the answer by
itself. This holds on each split exactly and not only on average (`mmbench/scenes/ceilings.py`
counts it), since episodes come in families: of the same examples, all four pictures are asked for,
and each of these in all rotations of the words, with and without an exchange of the words of two
of the colours, which are those that two examples leave out.

After the few-shot prompts of Alayrac et al., Flamingo, 2022 (arXiv 2204.14198), sec. 3.1, and the
tasks of Tsimpoukelli et al., Frozen, 2021 (arXiv 2106.13884), sec. 4.3: fast binding of words.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.scenes import store
from mmbench.scenes.counter import IntArray, below, bits, distinct
from mmbench.scenes.render import ByteArray, render
from mmbench.scenes.store import Advanced, Content
from mmbench.scenes.tellings import EXAMPLES, PICTURES, WORDS, Telling, start_of, tellings
from mmbench.scenes.world import CANVAS, COLOURS, HALF_EXTENT, MOST, QUARTER, SHAPES, SIZES, Scenes
from mmbench.zoo.words import IMAGE_PLACE

Named = Literal["colour", "shape"]

BLOCKS = {"train": 256, "validation": 8, "test": 32}  # of 128 episodes
VALUES: Mapping[Named, tuple[str, ...]] = {"colour": COLOURS, "shape": SHAPES}
_EXCHANGED = (0, 1, 3, 2)  # the words of what two examples leave out change places
_EDGE = max(HALF_EXTENT) + 4  # quarter pixels between the border and the nearest centre


class Episode(NamedTuple):
    """An episode.

    Attributes:
        text: words with a mark where each picture stands; the answer goes on from its end.
        answer: the word of the last picture.
        category: "2 examples".
        pictures: places among the split's, the examples' first.
        group: of those that show the same pictures.
    """

    text: str
    answer: str
    category: str
    pictures: list[int]
    group: str

    @property
    def shown(self) -> Mapping[str, Hashable]:
        """By modality, the facts that it shows: see `mmbench.scenes.ceilings`."""
        return {"image": tuple(self.pictures), "text": self.text}


@dataclass(frozen=True)
class Blocks:
    """N blocks of episodes, of a family for each number of examples.

    Attributes:
        index: (N,), place in the split.
        named: what the words name.
        value: (N, families, 4), the colour (or shape) of each of the four that have a word.
        word: (N, families, 4), the word of each at first, before they are rotated.
        example: for each family (N, examples), which of the four each example shows.
    """

    index: IntArray
    named: Named
    value: IntArray
    word: IntArray
    example: list[IntArray]

    def shown(self) -> IntArray:
        """The colour (or shape) of each picture, (N, PICTURES): of a family the asked, then the
        examples."""
        parts = []
        for family, example in enumerate(self.example):
            value = self.value[:, family]
            parts += [value, np.take_along_axis(value, example, 1)]
        return np.concatenate(parts, 1)

    def episodes(self) -> list[list[Episode]]:
        """The episodes of each block."""
        return [
            [
                episode
                for family, example in enumerate(self.example)
                for episode in _family(
                    index,
                    family,
                    self.word[place, family].tolist(),
                    example[place].tolist(),
                )
            ]
            for place, index in enumerate(self.index.tolist())
        ]


def sample_blocks(split: str, index: IntArray, named: Named = "colour") -> Blocks:
    """The blocks at these places (N,) of a split."""
    stream = f"scenes_words/{named}/{split}"
    four = len(WORDS)
    values, words, examples = [], [], []
    for count in EXAMPLES:
        values.append(distinct(bits(f"{stream}/{count}/value", index, four), len(VALUES[named])))
        words.append(distinct(bits(f"{stream}/{count}/word", index, four), four))
        order = distinct(bits(f"{stream}/{count}/order", index, count), max(count, 1))
        examples.append(order * min(count, four) // max(count, 1))
    return Blocks(index, named, np.stack(values, 1), np.stack(words, 1), examples)


def scenes_of(blocks: Blocks, split: str) -> Scenes:
    """What the pictures of the blocks show (N * PICTURES,): an object each, of any other kind."""
    stream = f"scenes_words/{blocks.named}/{split}"
    index = (blocks.index[:, None] * PICTURES + np.arange(PICTURES)).ravel()
    kinds = bits(f"{stream}/kind", index, 3)
    shape, colour = below(kinds[:, 0], len(SHAPES)), below(kinds[:, 1], len(COLOURS))
    if blocks.named == "colour":
        colour = blocks.shown().ravel()
    else:
        shape = blocks.shown().ravel()
    size = below(kinds[:, 2], len(SIZES))
    room = CANVAS * QUARTER - 2 * _EDGE - 2
    x, y = (_EDGE + below(bits(f"{stream}/place", index, 2), room)).T
    x += (list(BLOCKS).index(split) - x - y) % len(BLOCKS)  # no picture is in two splits
    shape, colour, size, x, y = (
        np.repeat(column[:, None], MOST, 1) for column in (shape, colour, size, x, y)
    )
    background = 24 + below(bits(f"{stream}/background", index, 3), 32)
    return Scenes(index, np.ones_like(index), shape, colour, size, x, y, background)


def _family(index: int, family: int, word: list[int], example: list[int]) -> list[Episode]:
    count = EXAMPLES[family]
    start = index * PICTURES + start_of(family)
    shown = [start + len(WORDS) + place for place in range(count)]
    found = []
    for asked in range(len(WORDS)):
        for number in range(2 * len(WORDS)):
            exchange, rotation = divmod(number, len(WORDS))
            named = [word[at] for at in _EXCHANGED] if exchange else word
            names = [WORDS[(at + rotation) % len(WORDS)] for at in named]
            told = [f"{IMAGE_PLACE} {names[one]}. " for one in example]
            found.append(
                Episode(
                    text="".join(told) + IMAGE_PLACE,
                    answer=names[asked],
                    category=f"{count} examples",
                    pictures=[*shown, start + asked],
                    group=f"{index}/{count}/{asked}",
                )
            )
    return found


class EpisodeSplit:
    """A split of `scenes_words`.

    Attributes:
        pixels: (N * PICTURES, size, size, 3) uint8, memory-mapped.
        pixels_digest: a hash of the pixels.
        digest: a hash of the episodes.
    """

    def __init__(self, told: Path, pictures: Path) -> None:
        blocks: ByteArray = store.array(pictures, "pixels")
        self.pixels: ByteArray = blocks.reshape(-1, *blocks.shape[2:])
        self.pixels_digest = store.digest(pictures)
        self.digest = store.digest(told)
        self._folder = told

    @cached_property
    def episodes(self) -> list[list[Episode]]:
        """The episodes of each block."""
        with store.collector_paused():
            rows = store.table(self._folder, "episodes")
            return [[Episode(*episode) for episode in row] for row in rows]

    @cached_property
    def tellings(self) -> list[list[Telling]]:
        """The tellings of each block."""
        with store.collector_paused():
            rows = store.table(self._folder, "tellings")
            return [[Telling(*telling) for telling in row] for row in rows]


def load_episodes(
    split: str, named: Named = "colour", size: int = 32, advanced: Advanced | None = None
) -> EpisodeSplit:
    """A split of `scenes_words`: 32,768 episodes to train on, 4,096 to be scored on.

    Args:
        split: train, validation or test.
        named: what the made-up words name.
        size: pixels a side, 64 or 32.
        advanced: called with blocks made and blocks to make while the split is made.
    Raises: MMBenchError if there is no such split or the cache cannot be written.
    """
    if split not in BLOCKS:
        raise MMBenchError(
            f"scenes_words has no split '{split}'.{did_you_mean(split, BLOCKS)} "
            f"It has {', '.join(BLOCKS)}."
        )
    name = f"scenes_words-{named}-{split}"
    parts = {
        name: partial(episode_content, split, named),
        f"{name}-{size}": partial(episode_pictures, split, named, size),
    }
    return EpisodeSplit(*store.stored(parts, BLOCKS[split], advanced))


def episode_content(split: str, named: Named, index: IntArray) -> Content:
    """Episodes and tellings of the blocks at these places of a split."""
    blocks = sample_blocks(split, index, named)
    told = tellings(f"scenes_words/{named}/{split}", index, blocks.shown(), VALUES[named])
    return {
        "episodes": [[list(episode) for episode in block] for block in blocks.episodes()],
        "tellings": [[list(telling) for telling in block] for block in told],
    }


def episode_pictures(split: str, named: Named, size: int, index: IntArray) -> Content:
    """Pictures of the blocks at these places of a split, (n, PICTURES, size, size, 3)."""
    scenes = scenes_of(sample_blocks(split, index, named), split)
    pixels: Any = render(scenes, split, size, f"scenes_words/{named}")
    return {"pixels": pixels.reshape(len(index), PICTURES, *pixels.shape[1:])}
