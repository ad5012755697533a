"""Equal models under different names are called different as seldom as is claimed."""

import pytest

from benchmarks.false_differences import false_share

COMPARISONS = 60


@pytest.mark.parametrize(("spread", "datasets", "models"), [(1.0, 1, 2), (3.0, 2, 3)])
def test_equal_models_are_seldom_called_different(spread, datasets, models):
    share = false_share(COMPARISONS, 3, spread, datasets, models)
    assert share <= 0.08


def test_single_runs_of_models_that_scatter_are_told_apart():
    assert false_share(10, 1, 6.0, 1) > 0.3
