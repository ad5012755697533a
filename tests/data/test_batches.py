import itertools

import numpy as np
import pytest
import torch

from mmbench.data.batches import GroupBatches, query_batches
from mmbench.data.media import MediaRef, MediaSet, Together, at_hand, mapped
from mmbench.data.sample import Query, Sample
from mmbench.parts import build_part


def samples(groups="aabbbcdd"):
    return [Sample(str(i), {}, None, group) for i, group in enumerate(groups)]


def test_groups_stay_whole_and_every_sample_comes_once():
    data = samples()
    for epoch in range(5):
        batches = list(GroupBatches(data, 2, seed=0).epoch(epoch))
        assert sorted(s.id for batch in batches for s in batch) == [s.id for s in data]
        for batch in batches:
            assert len({s.group for s in batch}) <= 2
        groups = [s.group for batch in batches for s in batch]
        assert sum(a != b for a, b in itertools.pairwise(groups)) == 3


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    data = samples("abcdefghij")
    once = GroupBatches(data, 3, seed=1)
    list(once.indices(0))
    assert list(once.indices(4)) == list(GroupBatches(data, 3, seed=1).indices(4))
    assert list(once.indices(4)) != list(once.indices(5))
    assert list(once.indices(4)) != list(GroupBatches(data, 3, seed=2).indices(4))


def test_without_a_seed_the_order_is_the_datasets():
    assert [i for batch in GroupBatches(samples(), 3).indices() for i in batch] == list(range(8))


def test_length_is_the_number_of_batches():
    for batch in range(1, 6):
        batches = GroupBatches(samples(), batch)
        assert len(batches) == len(list(batches.indices()))


def test_groups_come_in_the_order_that_is_given():
    batches = GroupBatches(samples(), 2, seed=0)
    assert list(batches.indices(3, np.array([3, 1, 0, 2]))) == [[6, 7, 2, 3, 4], [0, 1, 5]]


def media(count=6):
    values = np.arange(count * 32 * 32 * 3, dtype=np.uint8).reshape(count, 32, 32, 3)
    found = MediaSet(values, "abc")
    return [MediaRef(found, "abc", row) for row in range(count)]


def test_queries_about_the_same_media_stand_together_whatever_else_is_in_them():
    a, b, c, *_ = media()
    again = MediaRef(a.media, "abc", a.row)  # equal, and another object
    asked = [
        *({"image": a, "text": "x"}, {"image": a, "text": "y"}, {"image": again, "text": "x"}),
        *({"image": a, "audio": b}, {"image": b, "text": "x"}, {"text": "x"}, {"text": "x"}),
        *({"image": (a,), "text": "x"}, {"image": (a, b), "text": "x"}, {"image": a}),
        *({"image": b, "text": "z"}, {"image": c, "text": "z", "choices": ("u", "v")}),
        *({"image": c, "text": "z"}, {"image": a, "text": "z"}, {"audio": b, "image": a}),
    ]
    found = list(query_batches([Query(str(n), inputs) for n, inputs in enumerate(asked)], 1))
    together = [[0, 1, 2, 7, 9, 13], [3, 8], [4, 10], [5], [6], [11, 12], [14]]
    assert sorted(map(sorted, found)) == together


def test_media_that_lie_one_behind_the_other_are_read_where_they_lie():
    values = media()
    encoder = build_part("encoders", "conv", {}, dim=8)
    behind = at_hand(values[1:4])
    assert isinstance(behind, Together)
    assert list(behind) == values[1:4]
    x, _ = encoder.read(behind)
    assert np.shares_memory(x.numpy(), values[0].media.values)
    for chosen in (values[1:4], values[3:0:-1], values[::2], [values[1], values[1]], values[:1]):
        found, _ = encoder.read(at_hand(chosen))
        expected = np.stack([value.array() for value in chosen]).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.filterwarnings("error")
def test_what_is_written_into_a_mapped_array_reaches_no_file(tmp_path):
    np.save(tmp_path / "kept.npy", np.zeros((2, 3), np.uint8))
    torch.from_numpy(mapped(tmp_path / "kept.npy")).add_(1)
    assert not mapped(tmp_path / "kept.npy").any()
