"""The contract of corruptions, for all that are registered, and what each of them does."""

import numpy as np
import pytest

from mmbench import registry
from mmbench.corruptions.base import Corruption
from mmbench.corruptions.image_occlusion import GREY

RNG = np.random.default_rng(0)
VALUES = {
    "image": RNG.integers(0, 256, (96, 112, 3), dtype=np.uint8),
    "video": RNG.integers(0, 256, (2, 112, 96, 3), dtype=np.uint8),
    "audio": (3000 * RNG.standard_normal(800)).astype(np.int16),
    "text": "is there a large red circle beside the small blue square?",
}
SEEDS = range(7, 2**48, 2**44)  # 16 of them


def corruption(name):
    return registry.load("corruptions", name)()


PAIRS = [
    (name, modality)
    for name in registry.names("corruptions")
    for modality in registry.load("corruptions", name).modalities
]


def same(a, b):
    return a == b if isinstance(a, str) else np.array_equal(a, b)


@pytest.mark.parametrize("name", registry.names("corruptions"))
def test_it_says_what_it_is_done_to_and_how_much(name):
    made = registry.load("corruptions", name)
    assert issubclass(made, Corruption)
    assert made.modalities
    assert set(made.modalities) <= set(VALUES)
    assert len(set(made.amounts)) == len(made.amounts) > 1
    assert sorted(made.amounts) in (list(made.amounts), list(made.amounts)[::-1])
    assert made.unit
    changes = made.damaged is not Corruption.damaged
    assert changes != (made.missing is not Corruption.missing)


@pytest.mark.parametrize(("name", "modality"), PAIRS)
def test_damage_is_the_same_every_time_and_leaves_the_given_value_alone(name, modality):
    made, value = corruption(name), VALUES[modality]
    before = value if isinstance(value, str) else value.copy()
    for amount in made.amounts:
        for seed in SEEDS:
            one, two = (made.damaged(value, amount, seed) for _ in range(2))
            assert same(one, two)
            assert made.missing(amount, seed) == made.missing(amount, seed)
            assert type(one) is type(value)
            if not isinstance(value, str):
                assert (one.shape, one.dtype) == (value.shape, value.dtype)
    assert same(before, value)


@pytest.mark.parametrize(("name", "modality"), PAIRS)
def test_each_level_does_more_than_the_one_before(name, modality):
    made, value = corruption(name), VALUES[modality]

    def harm(amount, seed):
        if made.missing(amount, seed):
            return 1.0
        damaged = made.damaged(value, amount, seed)
        if isinstance(value, str):
            return float(len(set(value.split()) - set(damaged.split())))
        return float(((damaged.astype(float) - value) ** 2).mean())

    harms = np.array([[harm(amount, seed) for amount in made.amounts] for seed in SEEDS])
    assert (np.diff(harms, axis=1) >= 0).all()
    assert (np.diff(harms.mean(axis=0)) > 0).all()


def test_a_share_of_the_samples_is_missing_and_stays_so():
    made = corruption("missing")
    seeds = RNG.integers(0, 2**48, 4000).tolist()
    gone = np.array([[made.missing(rate, seed) for rate in made.amounts] for seed in seeds])
    assert gone.mean(axis=0) == pytest.approx(made.amounts, abs=0.03)
    assert (gone[:, :-1] <= gone[:, 1:]).all()
    assert gone[:, -1].all()


def test_noise_has_the_spread_that_it_says():
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = corruption("image_noise").damaged(grey, 0.08, 1) / 255
    assert noisy.std() == pytest.approx(0.08, rel=0.05)
    sound = VALUES["audio"]
    for ratio in (20.0, 0.0):
        noise = corruption("sound_noise").damaged(sound, ratio, 1) - sound.astype(float)
        power = (sound.astype(float) ** 2).mean() / (noise**2).mean()
        assert 10 * np.log10(power) == pytest.approx(ratio, abs=0.5)
    silence = np.zeros(100, np.int16)
    assert not corruption("sound_noise").damaged(silence, 0.0, 1).any()


def test_an_occlusion_covers_the_share_that_it_says_in_every_frame():
    made = corruption("image_occlusion")
    for modality in ("image", "video"):
        value = np.zeros_like(VALUES[modality])
        for amount in made.amounts:
            covered = made.damaged(value, amount, 3) == GREY
            assert covered.mean() == pytest.approx(amount, abs=0.05)


def test_a_word_is_always_left_and_no_word_is_made():
    made = corruption("words_dropped")
    words = VALUES["text"].split()
    for seed in SEEDS:
        left = made.damaged(VALUES["text"], 0.5, seed).split()
        assert left
        assert [word for word in words if word in left] == left
        assert made.damaged("red", 0.5, seed) == "red"
    assert made.damaged("", 0.5, 1) == ""


def test_a_typo_changes_one_letter_of_a_word_and_never_its_neighbours():
    made = corruption("typos")
    words = VALUES["text"].split(" ")
    changed = 0
    for seed in SEEDS:
        typed = made.damaged(VALUES["text"], 0.5, seed).split(" ")
        assert len(typed) == len(words)
        for word, other in zip(words, typed, strict=True):
            changed += word != other
            assert abs(len(word) - len(other)) <= 1
            assert sum(a != b for a, b in zip(word, other, strict=False)) <= len(word)
    assert changed / (len(SEEDS) * len(words)) == pytest.approx(0.5, abs=0.12)
    assert made.damaged("42 ?", 0.5, 3) == "42 ?"
