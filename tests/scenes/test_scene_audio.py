"""Sounds and their captions, heard from the samples and read from the words alone."""

import hashlib
import math
import re
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from mmbench.scenes.audio import RATE, SOUND_SPLITS, sample_sounds
from mmbench.scenes.build import sound_content

FIRST = np.arange(200)
# Of the first 200 sounds. Whoever changes one must raise VERSION in mmbench/scenes/store.py.
FINGERPRINTS = {
    "train": "89781e76f89fbfb1",
    "validation": "5b118e09702312e8",
    "test": "4347a3efb324e027",
}
MEANS = {
    **{"short": "short", "brief": "short", "long": "long", "lasting": "long"},
    **{"soft": "soft", "quiet": "soft", "loud": "loud", "strong": "loud"},
    **{"low": "low", "deep": "low", "middle": "middle", "medium": "middle"},
    **{"high": "high", "bright": "high"},
    **{"tone": "tone", "note": "tone", "buzz": "buzz", "hum": "buzz"},
}


@lru_cache
def content(split):
    return sound_content(split, FIRST)


@lru_cache
def tones(split, count=200):
    return sample_sounds(split, np.arange(count)).tones()


@pytest.mark.parametrize("split", SOUND_SPLITS)
def test_sounds_are_the_same_bytes_on_every_machine(split):
    waves = content(split)["waves"]
    assert waves.shape == (200, 8000)
    assert waves.dtype == np.int16
    assert hashlib.sha256(waves.astype("<i2").tobytes()).hexdigest()[:16] == FINGERPRINTS[split]


def test_no_sine_lies_where_rounding_might_turn():
    """So that the table of sines is the same under every mathematical library."""
    sines = [32767 * math.sin(2 * math.pi * k / RATE) for k in range(RATE)]
    assert min(abs(sine % 1 - 0.5) for sine in sines) > 1e-4


def test_a_range_made_alone_is_equal():
    part = sound_content("train", FIRST[131:135])  # begins with the second of a pair
    np.testing.assert_array_equal(part["waves"], content("train")["waves"][131:135])
    assert part["texts"] == content("train")["texts"][131:135]
    assert part["claims"] == content("train")["claims"][131:135]


def test_no_sound_is_in_two_splits():
    for number, (split, count) in enumerate(SOUND_SPLITS.items()):
        sounds = sample_sounds(split, np.arange(count))
        there = np.arange(4) < sounds.count[:, None]
        assert ((sounds.frequency * there).sum(axis=1) % 3 == number).all()


@pytest.mark.parametrize("split", SOUND_SPLITS)
def test_what_is_heard_is_what_the_facts_say(split):
    """Each tone stands out of silence at its time, with its pitch, loudness, length and timbre."""
    for wave, facts in zip(content(split)["waves"].astype(float), tones(split), strict=True):
        silent = np.ones(len(wave), bool)
        for tone in facts:
            assert heard(wave[tone.start : tone.end]) == tone[:4]
            silent[tone.start : tone.end] = False
        assert abs(wave[silent]).max() <= 128
        gaps = [after.start - before.end for before, after in pairwise(facts)]
        assert min(gaps) >= 200


def test_the_two_of_a_pair_differ_in_the_order_alone():
    for even, odd in zip(tones("train", 2000)[::2], tones("train", 2000)[1::2], strict=True):
        kinds = [tone[:4] for tone in even], [tone[:4] for tone in odd]
        assert sorted(kinds[0]) == sorted(kinds[1])
        assert kinds[0] != kinds[1]
        assert len(set(kinds[0])) == len(kinds[0])
    claims = content("train")["claims"]
    for even, odd in zip(claims[::2], claims[1::2], strict=True):
        assert even[0]["tones"] != odd[0]["tones"]


@pytest.mark.parametrize("split", SOUND_SPLITS)
def test_five_different_captions_claim_and_say_the_tones_in_their_order(split):
    for facts, texts, claims in zip(
        tones(split), content(split)["texts"], content(split)["claims"], strict=True
    ):
        assert len(set(texts)) == len(texts) == len(claims) == 5
        for text, claim in zip(texts, claims, strict=True):
            claimed = [tuple(tone.values()) for tone in claim["tones"]]
            assert claimed == [tone[:4] for tone in facts]
            assert read(text) == claimed, text
            says = re.match(r"of (two|three|four) ", text)
            assert claim["count"] == (len(facts) if says else None)
            if says:
                assert ["two", "three", "four"].index(says[1]) + 2 == len(facts)


def test_kinds_and_places_come_equally_often():
    facts = tones("train", 2000)
    for place in range(2):  # every sound has a first and a second tone
        for kind, number in ((0, 2), (1, 2), (2, 3), (3, 2)):
            values = [sound[place][kind] for sound in facts]
            for value in set(values):
                assert values.count(value) / len(values) == pytest.approx(1 / number, abs=0.05)
    counts = np.bincount([len(sound) for sound in facts]) / len(facts)
    assert abs(counts[2:] - np.array([1, 3, 4]) / 8).max() < 0.04


def heard(wave):
    """Length, loudness, pitch and timbre of a tone, by its samples."""
    spectrum = abs(np.fft.rfft(wave * np.hanning(len(wave)), 8000)) ** 2  # bins of half a hertz
    frequency = spectrum.argmax() / 2  # the first of the harmonics is the strongest
    power = (wave**2).mean() ** 0.5
    overtone = spectrum[int(4 * frequency) - 30 : int(4 * frequency) + 30].max()
    return (
        "short" if len(wave) < 0.25 * RATE else "long",
        "soft" if power < 5000 else "loud",
        "low" if frequency < 200 else "middle" if frequency < 400 else "high",
        "buzz" if overtone > 0.05 * spectrum.max() else "tone",
    )


def read(text):
    """The tones that a caption tells, in the order in which they sound."""
    found = []
    for name in re.findall(r"\ba ((?:\w+ ){3}\w+)", text):
        found.append(tuple(MEANS[word] for word in name.split()))
    backwards = " after " in text or " preceded by " in text
    return found[::-1] if backwards else found
