"""Batches of alike groups."""

import numpy as np

from mmbench.training.mining import runs_in_order, runs_of_alike

CLUSTERS = np.arange(12).reshape(3, 4)  # of groups that are like each other


def near(rng):
    """For each group its cluster, itself included, then all the others."""
    rows = []
    for group in range(12):
        own = rng.permutation(CLUSTERS[group // 4])
        others = rng.permutation(np.setdiff1d(np.arange(12), own))
        rows.append([*own, *others])
    return np.array(rows)


def test_alike_groups_come_together_and_every_group_once():
    rng = np.random.default_rng(0)
    orders = [runs_of_alike(near(rng), 4, rng) for _ in range(5)]
    for order in orders:
        assert sorted(order) == list(range(12))
        assert {frozenset(run) for run in order.reshape(3, 4)} == {frozenset(c) for c in CLUSTERS}
    assert len({tuple(order) for order in orders}) > 1


def test_groups_that_find_too_few_come_last():
    only_the_first = np.tile(np.arange(3), (8, 1))  # all are near the same three
    order = runs_of_alike(only_the_first, 3, np.random.default_rng(0))
    assert sorted(order) == list(range(8))
    assert len(set(order[:3]) & {0, 1, 2}) >= 2
    again = runs_of_alike(only_the_first, 3, np.random.default_rng(0))
    assert order.tolist() == again.tolist()


def test_groups_that_follow_each_other_stay_together():
    rng = np.random.default_rng(0)
    order = runs_in_order(11, 2, rng)
    assert order[-1] == 10
    pairs = order[:10].reshape(5, 2)
    assert sorted(pairs[:, 0]) == [0, 2, 4, 6, 8]
    assert (pairs[:, 1] == pairs[:, 0] + 1).all()
    assert order.tolist() != runs_in_order(11, 2, rng).tolist()
