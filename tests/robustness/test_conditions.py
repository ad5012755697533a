"""Which conditions there are, what they make of queries, and how samples are exchanged."""

import numpy as np
import pytest

from mmbench import registry
from mmbench.corruptions.conditions import (
    Condition,
    check_corruptions,
    conditions_of,
    damaged,
    partners,
    with_inputs_of,
)
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError

IMAGES = MediaSet(np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8), "set")


def image(row):
    return MediaRef(IMAGES, IMAGES.digest, row)


def samples(groups=10, each=3):
    return [
        Sample(f"q{g}-{i}", {"image": image(g), "text": f"is {i} in {g} red ?"}, "yes", str(g))
        for g in range(groups)
        for i in range(each)
    ]


def condition(name, modality, level=2):
    made = registry.load("corruptions", name)
    return Condition(name, modality, level, len(made.amounts), made.amounts[level - 1], 1)


def contents(queries, modality):
    found = {}
    for query in queries:
        value = query.inputs[modality]
        found[query.id] = value.array().tobytes() if isinstance(value, MediaRef) else value
    return found


def test_a_corruption_is_run_on_the_modalities_that_the_model_reads():
    found, not_run = conditions_of(["text", "image"])
    keys = {(c.corruption, c.modality) for c in found}
    assert ("missing", "text") in keys
    assert ("missing", "image") in keys
    assert ("typos", "text") in keys
    assert ("image_noise", "image") in keys
    assert not any(name == "sound_noise" for name, _ in keys)
    assert any("sound_noise" in why for why in not_run)
    assert len({c.key for c in found}) == len(found)


def test_a_corruption_that_is_unknown_or_of_another_modality_is_refused():
    with pytest.raises(MMBenchError, match="Did you mean typos"):
        check_corruptions(["typo"], ["text"])
    with pytest.raises(MMBenchError, match="sound_noise is of audio"):
        check_corruptions(["sound_noise"], ["text", "image"])
    check_corruptions(["typos", "missing"], ["text"])


@pytest.mark.parametrize(
    ("name", "modality"), [("image_noise", "image"), ("words_dropped", "text"), ("typos", "text")]
)
def test_damage_does_not_depend_on_order_or_on_who_else_is_asked(name, modality):
    queries = [sample.query for sample in samples()]
    whole = contents(damaged(queries, condition(name, modality), 0)[0], modality)
    part = damaged(queries[20:5:-1], condition(name, modality), 0)[0]
    assert contents(part, modality).items() <= whole.items()
    assert contents(damaged(queries, condition(name, modality), 1)[0], modality) != whole
    assert contents(queries, modality) != whole


def test_what_is_missing_depends_on_the_sample_alone_and_grows_with_the_level():
    queries = [sample.query for sample in samples(30, 10)]
    ids = np.array([query.id for query in queries])
    gone = []
    for level in (1, 2, 3, 4):
        changed, missing = damaged(queries, condition("missing", "text", level), 0)
        assert changed == queries
        gone.append(set(ids[missing]))
    assert gone[0] < gone[1] < gone[2] < gone[3] == set(ids)
    _, reverse = damaged(queries[::-1], condition("missing", "text", 2), 0)
    assert set(ids[::-1][reverse]) == gone[1]
    _, of_image = damaged(queries, condition("missing", "image", 2), 0)
    assert set(ids[of_image]) != gone[1]


def test_an_image_that_many_ask_about_is_one_image_after_the_damage():
    changed, _ = damaged([s.query for s in samples()], condition("image_noise", "image"), 0)
    assert len({query.inputs["image"] for query in changed}) == 10
    first, second = changed[0].inputs["image"], changed[3].inputs["image"]
    assert first.set_digest != IMAGES.digest
    noise = [q.array().astype(int) - image(q.row).array() for q in (first, second)]
    assert not np.array_equal(*noise)


def test_a_query_that_nothing_is_done_to_is_the_very_same():
    queries = [Sample("a", {"text": "red"}, "", "a").query]
    changed, _ = damaged(queries, condition("words_dropped", "text", 5), 0)
    assert changed[0] is queries[0]


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 1, 4, 1, 5], [10, 10], [5, 2, 3]])
def test_a_partner_is_always_of_another_group_and_everyone_is_one(sizes):
    found = [
        Sample(f"{g}/{i}", {"image": image(g)}, "", str(g))
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    for seed in range(5):
        places = partners(found, seed)
        assert sorted(places) == list(range(len(found)))
        pairs = zip(found, places, strict=True)
        assert all(sample.group != found[place].group for sample, place in pairs)


def test_partners_do_not_depend_on_the_order_of_the_samples():
    found = samples()
    other = [found[at] for at in np.random.default_rng(1).permutation(len(found))]

    def by_id(some):
        return {s.id: some[place].id for s, place in zip(some, partners(some, 0), strict=True)}

    assert by_id(found) == by_id(other)


def test_groups_that_share_a_medium_are_no_partners():
    found = samples(8)
    shared = [
        Sample(s.id, {**s.inputs, "image": image(int(s.group) // 2)}, s.target, s.group)
        for s in found
    ]
    for sample, place in zip(shared, partners(shared, 0), strict=True):
        assert sample.inputs["image"] != shared[place].inputs["image"]


def test_there_are_no_partners_where_a_group_holds_more_than_half():
    assert partners(samples(1), 0) is None
    assert partners([*samples(1, 4), *samples(2, 1)[1:]], 0) is None


def test_a_shuffle_changes_one_input_and_keeps_the_rest():
    found = samples()
    places = partners(found, 0)
    queries = with_inputs_of(found, "image", places)
    for sample, query, place in zip(found, queries, places, strict=True):
        assert query.inputs["text"] == sample.inputs["text"]
        assert query.inputs["image"] == found[place].inputs["image"] != sample.inputs["image"]
