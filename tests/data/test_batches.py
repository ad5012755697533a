import itertools

import numpy as np

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample


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
