"""Interactions: questions answered from pixels and samples, and exact ceilings by enumeration."""

from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
import torch

from mmbench.scenes.build import interaction_content, interaction_pictures, load_interactions
from mmbench.scenes.ceilings import OVERALL, ceilings
from mmbench.scenes.interactions import (
    PAIR_CATEGORIES,
    PAIRS,
    PICTURE_CATEGORIES,
    PICTURES,
    Asked,
    sample_pairs,
    sample_pictures,
    scenes_of,
    sounds_of,
)

# Of sounds and questions, and of pictures; whoever changes one must raise VERSION in
# mmbench/scenes/store.py.
DIGESTS = {
    (True, "train"): ("899b609893ba5c88", "0851616edd5c0a88"),
    (True, "validation"): ("6e37c71cd0d35380", "31745a74a99360d1"),
    (True, "test"): ("fb04d62833e79607", "08056dcc78876298"),
    (False, "train"): ("28a38d450d0b24a2", "cdd67516677044ed"),
    (False, "validation"): ("89e75a6f89c3ea81", "d76814a9a912f90a"),
    (False, "test"): ("6513acb788cdaac2", "c4a70d337432ddb9"),
}
RATE = 4_000
HALF, ONE = Fraction(1, 2), Fraction(1)


def asked_in(split, sound):
    facts = (
        sample_pairs(split, np.arange(PAIRS[split]))
        if sound
        else sample_pictures(split, np.arange(PICTURES[split]))
    )
    return list(chain(*facts.asked()))


@pytest.mark.parametrize(("sound", "split"), DIGESTS)
def test_whole_splits_are_the_same_bytes_on_every_machine(sound, split):
    made = load_interactions(split, sound)
    assert (made.digest[:16], made.pixels_digest[:16]) == DIGESTS[sound, split]
    assert len(made) == len(made.questions) == (PAIRS if sound else PICTURES)[split]
    assert made.pixels.shape[1:] == (32, 32, 3)
    assert made.waves.shape[1:] == (2000,) if sound else made.waves is None


@pytest.mark.parametrize("sound", [True, False])
def test_a_range_made_alone_is_equal(sound):
    some, whole = np.arange(120, 140), np.arange(256)  # over the edge of a block
    part, all_of_it = (interaction_content("test", sound, index) for index in (some, whole))
    assert part["questions"] == all_of_it["questions"][120:140]
    if sound:
        np.testing.assert_array_equal(part["waves"], all_of_it["waves"][120:140])
    part, all_of_it = (interaction_pictures("test", sound, 32, i) for i in (some, whole))
    np.testing.assert_array_equal(part["pixels"], all_of_it["pixels"][120:140])


@pytest.mark.parametrize("split", PAIRS)
def test_a_question_about_a_pair_is_answered_by_what_is_seen_and_heard(split):
    index = np.arange(128)
    pictures = interaction_pictures(split, True, 64, index)["pixels"]
    content = interaction_content(split, True, index)
    for picture, wave, asked in zip(pictures, content["waves"], content["questions"], strict=True):
        true = seen(picture) | heard(wave)
        for question, answer, category in asked:
            claims = [claim in question for claim in CLAIMS]
            holds = [
                claim in true for claim, made in zip(CLAIMS.values(), claims, strict=True) if made
            ]
            assert len(holds) == (2 if category in ("redundant", "synergy") else 1)
            exclusive = "but not both" in question
            expected = holds[0] != holds[1] if exclusive else all(holds)
            assert answer == ("yes" if expected else "no"), question
            if category == "redundant":
                assert holds[0] == holds[1]


@pytest.mark.parametrize("split", PICTURES)
def test_a_question_about_a_picture_is_answered_by_its_words_and_what_is_seen(split):
    index = np.arange(128)
    pictures = interaction_pictures(split, False, 64, index)["pixels"]
    for picture, asked in zip(
        pictures, interaction_content(split, False, index)["questions"], strict=True
    ):
        true = seen(picture)
        wanted = "circle large" if "circle" in true else "square top"
        for question, answer, category in asked:
            said, _, rest = question.partition(":")
            told = "large" in said or "at the top" in said
            expected = {
                "redundant": told,
                "unique_text": told,
                "unique_image": wanted in true,
                "synergy": told != (wanted in true),
            }[category]
            assert answer == ("yes" if expected else "no"), question
            assert ("differ" in rest) == (category == "synergy")
            assert wanted.split()[0] in question
            if category == "redundant":
                assert told == (wanted in true)


@pytest.mark.parametrize("split", PAIRS)
def test_the_ceilings_of_pairs_are_exact(split):
    asked = asked_in(split, sound=True)

    def expected(redundant, image, audio, synergy, overall):
        values = (redundant, image, audio, synergy, overall)
        return dict(zip((*PAIR_CATEGORIES, OVERALL), map(Fraction, values), strict=True))

    assert ceilings(asked, ()) == expected(HALF, HALF, HALF, HALF, HALF)
    assert ceilings(asked, ["text"]) == ceilings(asked, ())
    for image in (["image"], ["text", "image"]):
        assert ceilings(asked, image) == expected(ONE, ONE, HALF, HALF, "3/4")
    for audio in (["audio"], ["text", "audio"]):
        assert ceilings(asked, audio) == expected(ONE, HALF, ONE, HALF, "3/4")
    assert ceilings(asked, ["image", "audio"]) == expected(ONE, ONE, ONE, ONE, "13/16")
    assert ceilings(asked, ["text", "image", "audio"]) == expected(ONE, ONE, ONE, ONE, ONE)


@pytest.mark.parametrize("split", PICTURES)
def test_the_ceilings_of_pictures_are_exact(split):
    asked = asked_in(split, sound=False)

    def expected(redundant, image, text, synergy, overall):
        values = (redundant, image, text, synergy, overall)
        return dict(zip((*PICTURE_CATEGORIES, OVERALL), map(Fraction, values), strict=True))

    assert ceilings(asked, ()) == expected(HALF, HALF, HALF, HALF, HALF)
    assert ceilings(asked, ["text"]) == expected(ONE, HALF, ONE, HALF, "3/4")
    assert ceilings(asked, ["image"]) == expected(ONE, ONE, HALF, HALF, "3/4")
    assert ceilings(asked, ["text", "image"]) == expected(ONE, ONE, ONE, ONE, ONE)


def test_a_ceiling_is_the_share_that_the_likeliest_answers_get_right():
    asked = [
        Asked("q", answer, "a", {"image": image, "text": "q"})
        for image, answers in (("x", ["yes", "yes", "no"]), ("y", ["no"]))
        for answer in answers
    ]
    assert ceilings(asked, ["image"]) == {"a": Fraction(3, 4), OVERALL: Fraction(3, 4)}
    assert ceilings(asked, ["text"]) == {"a": HALF, OVERALL: HALF}


@pytest.mark.parametrize(("sound", "split"), DIGESTS)
def test_categories_and_answers_come_equally_often(sound, split):
    asked = asked_in(split, sound)
    categories = PAIR_CATEGORIES if sound else PICTURE_CATEGORIES
    for category in categories:
        answers = [one.answer for one in asked if one.category == category]
        assert len(answers) * len(categories) == len(asked)
        assert answers.count("yes") == answers.count("no")
    assert len(asked) == {"train": 8192, "validation": 1024, "test": 3072}[split]


def test_what_is_free_tells_nothing_of_the_answer():
    """Colour, place and length are drawn beside the facts: no bin of them favours an answer."""
    index = np.arange(PAIRS["train"])
    pairs = sample_pairs("train", index)
    scenes, sounds = scenes_of(pairs, "train"), sounds_of(pairs, "train")
    free = (
        scenes.colour[:, 0],
        scenes.x[:, 0] // 60,
        sounds.length[:, 0],
        sounds.start[:, 0] > 500,
    )
    crossed = pairs.agrees == 0
    for bit, among in (
        (pairs.seen, pairs.agrees == 1),
        (pairs.seen, crossed),
        (pairs.heard, crossed),
        (pairs.seen ^ pairs.heard, crossed),
    ):
        for value in free:
            for each in np.unique(value):
                here = bit[among & (value == each)]
                assert abs(here.mean() - 0.5) < 2 / len(here) ** 0.5  # four standard errors


def test_no_picture_and_no_sound_is_in_two_splits():
    for number, split in enumerate(PAIRS):
        pairs = sample_pairs(split, np.arange(PAIRS[split]))
        pictures = sample_pictures(split, np.arange(PICTURES[split]))
        for shown in (pairs, pictures):
            scenes = scenes_of(shown, split)
            assert ((scenes.x + scenes.y) % 3 == number).all()
        assert (sounds_of(pairs, split).frequency % 3 == number).all()


@pytest.mark.parametrize("sound", [True, False])
def test_all_interactions_can_be_learnt_from_the_facts(sound):
    asked = asked_in("validation", sound)
    texts = {text: place for place, text in enumerate(sorted({one.question for one in asked}))}
    rows = []
    for one in asked:
        words = np.eye(len(texts))[texts[one.question]]
        media = [fact for name, facts in one.shown.items() if name != "text" for fact in facts]
        rows.append([*words, *media])
    x = torch.tensor(np.array(rows), dtype=torch.float32)
    y = torch.tensor([one.answer == "yes" for one in asked]).long()
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


# What a question may claim, as words and as a fact.
CLAIMS = {
    "large": "circle large",
    "at the top": "square top",
    "loud": "tone loud",
    "high": "buzz high",
}


def seen(picture):
    """What a picture of 64 pixels shows, by its pixels."""
    ground = np.median(picture.reshape(-1, 3), axis=0)
    contrast = abs(picture.astype(float) - ground).max(axis=2)
    there = contrast > contrast.max() / 2
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert abs(width - height) <= 1
    kind = "square" if there[rows[0] + 1, columns[0] + 1] else "circle"
    facts = {kind}
    if width > 15:
        facts.add(f"{kind} large")
    if rows.mean() < 32:
        facts.add(f"{kind} top")
    return facts


def heard(wave):
    """What a sound is, by its samples."""
    wave = wave.astype(float)
    sounding = np.flatnonzero(abs(wave) > 500)
    wave = wave[sounding[0] : sounding[-1] + 1]
    spectrum = abs(np.fft.rfft(wave * np.hanning(len(wave)), 8000)) ** 2  # bins of half a hertz
    frequency = spectrum.argmax() / 2
    overtone = spectrum[int(4 * frequency) - 30 : int(4 * frequency) + 30].max()
    kind = "buzz" if overtone > 0.05 * spectrum.max() else "tone"
    facts = {kind}
    if (wave**2).mean() ** 0.5 > 5000:
        facts.add(f"{kind} loud")
    if frequency > 300:
        facts.add(f"{kind} high")
    return facts
