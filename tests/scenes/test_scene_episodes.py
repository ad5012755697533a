"""Episodes of made-up words: what they show is what they say, and exact chance by enumeration."""

from fractions import Fraction
from itertools import chain

import numpy as np
import pytest

from mmbench.errors import MMBenchError
from mmbench.scenes.ceilings import OVERALL, ceilings
from mmbench.scenes.episodes import (
    BLOCKS,
    VALUES,
    episode_content,
    episode_pictures,
    load_episodes,
    sample_blocks,
    scenes_of,
)
from mmbench.scenes.render import PALETTE
from mmbench.scenes.tellings import EXAMPLES, PICTURES, WORDS, Telling
from mmbench.scenes.world import COLOURS, QUARTER, SHAPES
from mmbench.zoo.words import IMAGE_PLACE

# Of episodes and of pictures; whoever changes one must raise VERSION in mmbench/scenes/store.py.
DIGESTS = {
    "train": ("1ec8e08667dc7067", "01e638dc511cc69a"),
    "validation": ("47836795202ab3fc", "2e95de066b9d7690"),
    "test": ("86c130a399fb27db", "acd892def2ca2d18"),
}
CHANCE = Fraction(1, len(WORDS))
both_kinds = pytest.mark.parametrize("named", ["colour", "shape"])
every_whole = pytest.mark.parametrize(
    ("named", "split"), [*(("colour", split) for split in BLOCKS), ("shape", "test")]
)
every_split = pytest.mark.parametrize("split", BLOCKS)


def episodes_of(split, named, blocks=None):
    index = np.arange(blocks or BLOCKS[split])
    return list(chain(*sample_blocks(split, index, named).episodes()))


@every_split
def test_whole_splits_are_the_same_bytes_on_every_machine(split):
    made = load_episodes(split)
    assert (made.digest[:16], made.pixels_digest[:16]) == DIGESTS[split]
    assert len(made.episodes) == len(made.tellings) == BLOCKS[split]
    assert made.pixels.shape == (BLOCKS[split] * PICTURES, 32, 32, 3)


@both_kinds
def test_a_range_made_alone_is_equal(named):
    some, whole = np.arange(3, 6), np.arange(8)
    part, all_of_it = (episode_content("test", named, index) for index in (some, whole))
    assert part == {name: values[3:6] for name, values in all_of_it.items()}
    part, all_of_it = (episode_pictures("test", named, 32, index) for index in (some, whole))
    np.testing.assert_array_equal(part["pixels"], all_of_it["pixels"][3:6])


@every_whole
def test_without_examples_or_without_either_modality_the_answer_is_at_chance(named, split):
    asked = episodes_of(split, named)
    for shown in ([], ["text"], ["image"]):
        found = ceilings(asked, shown)
        assert set(found) == {OVERALL, *(f"{count} examples" for count in EXAMPLES)}
        assert set(found.values()) == {CHANCE}
    assert ceilings(asked, ["image", "text"])["0 examples"] == CHANCE


@every_whole
def test_examples_tell_the_words_of_what_they_show(named, split):
    """Two of four show half of what is asked for, and leave two words for the other half."""
    found = ceilings(episodes_of(split, named), ["image", "text"])
    by_count = [found[f"{count} examples"] for count in (2, 4, 8)]
    assert by_count == [Fraction(3, 4), 1, 1]
    assert found[OVERALL] == Fraction(3, 4)


@both_kinds
def test_the_answer_is_the_word_of_the_example_that_is_alike(named):
    index = np.arange(8)
    blocks = sample_blocks("test", index, named)
    values = getattr(scenes_of(blocks, "test"), named)[:, 0]
    told = 0
    for episode in chain(*blocks.episodes()):
        *examples, asked = values[episode.pictures].tolist()
        words = episode.text.replace(IMAGE_PLACE, "").replace(".", "").split()
        assert len(words) == len(examples) == int(episode.category.split()[0])
        word_of = dict(zip(examples, words, strict=True))
        assert len(word_of) == len(set(words)) == min(len(words), len(WORDS))
        assert list(zip(examples, words, strict=True)) == [(v, word_of[v]) for v in examples]
        if asked in word_of:
            assert episode.answer == word_of[asked]
            told += 1
        else:
            assert episode.answer not in words
    assert told == len(index) * 32 * 5 // 2  # half of those of two, and all of those with more


def test_which_word_names_which_colour_differs_between_families():
    named = set()
    blocks = sample_blocks("train", np.arange(64))
    for value, word in zip(blocks.value[:, 2].tolist(), blocks.word[:, 2].tolist(), strict=True):
        named |= set(zip(value, word, strict=True))
    assert len(named) == len(COLOURS) * len(WORDS)


@both_kinds
def test_a_picture_shows_one_object_of_the_colour_or_shape_and_of_any_other_kind(named):
    blocks = sample_blocks("validation", np.arange(4), named)
    scenes = scenes_of(blocks, "validation")
    assert set(scenes.count.tolist()) == {1}
    np.testing.assert_array_equal(getattr(scenes, named)[:, 0], blocks.shown().ravel())
    assert set(scenes.shape[:, 0].tolist()) == set(range(len(SHAPES)))
    assert set(scenes.colour[:, 0].tolist()) == set(range(len(COLOURS)))
    pictures = episode_pictures("validation", named, 64, np.arange(4))["pixels"]
    pictures = pictures.reshape(-1, 64, 64, 3).astype(int)
    y, x = scenes.y[:, 0] // QUARTER, scenes.x[:, 0] // QUARTER
    centres = pictures[np.arange(len(pictures)), y, x]
    assert (abs(centres - PALETTE[scenes.colour[:, 0]]) < 16).all()


def test_no_picture_is_in_two_splits():
    places = [scenes_of(sample_blocks(s, np.arange(4)), s) for s in BLOCKS]
    rests = [set(((scenes.x + scenes.y)[:, 0] % len(BLOCKS)).tolist()) for scenes in places]
    assert rests == [{0}, {1}, {2}]


@both_kinds
def test_a_telling_names_a_thing_by_one_word_and_comes_back_to_it(named):
    index = np.arange(4)
    values = getattr(scenes_of(sample_blocks("train", index, named), "train"), named)[:, 0]
    told = [Telling(*t) for t in chain(*episode_content("train", named, index)["tellings"])]
    assert len(told) == 4 * len(EXAMPLES) * 32
    again = pictured = 0
    for telling in told:
        pairs = [sentence.split() for sentence in telling.told.rstrip(".").split(". ")]
        assert len(pairs) == 16
        word_of = dict(pairs)
        assert all(word_of[thing] == word for thing, word in pairs)
        assert len(set(word_of.values())) == len(word_of) <= len(WORDS)
        again += len(pairs) - len(word_of)
        # With pictures it says the same, and each shows what it stands for.
        pictures = iter(VALUES[named][values[one]] for one in telling.pictures)
        whole = f"{telling.text} {telling.answer}."
        words = [next(pictures) if word == IMAGE_PLACE else word for word in whole.split()]
        assert " ".join(words) == telling.told
        assert next(pictures, None) is None
        pictured += len(telling.pictures)
    assert again > 10 * len(told)
    assert 7 < pictured / len(told) < 10


def test_a_split_that_does_not_exist_is_named():
    with pytest.raises(MMBenchError, match="no split 'tests'. Did you mean test"):
        load_episodes("tests")
