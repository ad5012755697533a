"""Widths that meet a budget."""

from functools import cache

import pytest

from mmbench.experiments.budget import nearest_width


def cost(width):
    return 5_000 + 40 * width + 3 * width * width


@pytest.mark.parametrize("target", [5_043, 9_000, 60_000, 2_000_000])
def test_the_width_that_costs_most_nearly_as_much_is_found_with_few_models(target):
    built = []

    def counted(width):
        built.append(width)
        return cost(width)

    found = nearest_width(cache(counted), 128, target)
    best = min(range(1, 2000), key=lambda width: abs(cost(width) - target))
    assert abs(found.cost / target - 1) <= max(0.002, abs(cost(best) / target - 1))
    assert len(built) < 16


@pytest.mark.parametrize("heads", [2, 4, 8])
def test_widths_that_heads_do_not_divide_are_passed_by(heads):
    found = nearest_width(lambda w: None if w % heads else cost(w), 128, 60_000)
    assert found.width % heads == 0
    choices = range(heads, 400, heads)
    best = min(choices, key=lambda width: abs(cost(width) - 60_000))
    assert found.width == best or found.off(60_000) <= 0.002


def test_what_is_below_the_least_or_does_not_grow_gives_the_nearest():
    assert nearest_width(cost, 128, 100).width == 1
    assert nearest_width(lambda w: 7_000, 128, 9_000).cost == 7_000
