"""Several draws of a model: the probability that one of them is right."""

from itertools import combinations

import numpy as np
import pytest

from mmbench.experiments.repeats import pass_at


@pytest.mark.parametrize("draws", [2, 5, 7])
def test_pass_at_k_is_the_mean_over_all_choices_of_k_draws(draws):
    rng = np.random.default_rng(draws)
    right = rng.random((draws, 40)) < rng.random(40)
    right[:, 0], right[:, 1] = False, True
    for k in range(1, draws + 1):
        chosen = combinations(range(draws), k)
        expected = np.mean([right[list(places)].any(0) for places in chosen], axis=0)
        assert pass_at(k, draws, right.sum(0)) == pytest.approx(expected, abs=1e-12)
