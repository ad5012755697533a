import numpy as np

from mmbench.scenes.counter import Dice, accepted, below, bits, distinct

ITEMS = np.arange(500)


def test_an_item_draws_the_same_whatever_is_drawn_beside_it():
    whole = bits("stream", ITEMS, 6)
    np.testing.assert_array_equal(bits("stream", ITEMS[200:203], 6), whole[200:203])
    np.testing.assert_array_equal(bits("stream", ITEMS, 2, first=3), whole[:, 3:5])
    assert len(np.unique(whole)) == whole.size
    assert not np.isin(bits("another stream", ITEMS, 6), whole).any()


def test_numbers_below_a_limit_come_equally_often():
    numbers = below(bits("even", np.arange(6000), 10), 6)
    counts = np.bincount(numbers.ravel())
    assert len(counts) == 6
    assert abs(counts / numbers.size - 1 / 6).max() < 0.005


def test_distinct_numbers_are_distinct_and_each_comes_everywhere():
    numbers = distinct(bits("distinct", np.arange(6000), 3), 5)
    assert (np.diff(np.sort(numbers, axis=1), axis=1) > 0).all()
    for place in numbers.T:
        counts = np.bincount(place)
        assert len(counts) == 5
        assert abs(counts / len(place) - 0.2).max() < 0.03


def test_accepted_draws_are_each_items_first_that_pass():
    limit = ITEMS % 7 + 1  # some items wait long, others pass at once

    def small(values, who):
        return below(values, 20).sum(axis=-1) <= limit[who, None]

    found = accepted("tries", ITEMS, 2, small)
    for item in ITEMS[:50]:
        tries = bits("tries", np.array([item]), 2000).reshape(-1, 2)
        first = np.flatnonzero(below(tries, 20).sum(axis=1) <= limit[item])[0]
        np.testing.assert_array_equal(found[item], tries[first])


def test_dice_of_an_item_do_not_depend_on_the_others():
    def rolls(dice):
        return [dice.below(1000) for _ in range(5)]

    many = [rolls(dice) for dice in Dice.of("dice", ITEMS)]
    assert rolls(Dice.of("dice", ITEMS[7:9])[1]) == many[8]
    assert len({tuple(r) for r in many}) == len(many)


def test_shuffles_come_in_all_orders_equally_often():
    orders = [tuple(dice.shuffled("abc")) for dice in Dice.of("orders", np.arange(6000))]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert min(counts) > 880
    assert max(counts) < 1120
