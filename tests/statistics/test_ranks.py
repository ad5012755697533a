"""Models ranked over several datasets."""

import numpy as np
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy.stats import friedmanchisquare, rankdata

from mmbench.statistics.ranks import critical_difference, rank_models, why_no_ranks

MODELS = ["a", "b", "c", "d"]


def table(seed, datasets=8, gain=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(datasets, 4)) + gain * np.arange(4)


def ranked(values, higher=True):
    by = {f"d{i}": dict(zip(MODELS, row.tolist(), strict=True)) for i, row in enumerate(values)}
    return rank_models(by, dict.fromkeys(by, higher))


@pytest.mark.parametrize("seed", range(3))
def test_ranks_and_tests_are_those_of_scipy_and_scikit_posthocs(seed):
    values = table(seed)
    found = ranked(values)
    ranks = rankdata(-values, axis=1).mean(axis=0)
    assert dict(zip(found.models, found.average, strict=True)) == pytest.approx(
        dict(zip(MODELS, ranks.tolist(), strict=True))
    )
    assert found.average == tuple(sorted(found.average))
    statistic, p_value = friedmanchisquare(*values.T)
    assert (found.statistic, found.p_value) == pytest.approx((statistic, p_value))
    pairs = np.asarray(posthoc_nemenyi_friedman(values))
    assert len(found.nemenyi) == 6
    for (a, b), p in found.nemenyi.items():
        assert p == pytest.approx(pairs[MODELS.index(a), MODELS.index(b)])
        ra, rb = (found.average[found.models.index(m)] for m in (a, b))
        assert (p < 0.05) == (abs(ra - rb) > found.critical_difference)


def test_the_critical_difference_is_that_of_demsar_table_5():
    # q 2.569 of four classifiers; 14 data sets: his example gives 1.25
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_less_is_better_where_the_metric_says_so():
    assert ranked(table(0)).models[::-1] == ranked(table(0), higher=False).models


def test_equal_models_share_a_rank_and_are_not_told_apart():
    found = ranked(np.ones((7, 4)))
    assert found.average == (2.5,) * 4
    assert found.p_value == 1.0
    assert found.together() == [tuple(found.models)]


def test_runs_of_what_cannot_be_told_apart_do_not_lie_within_another():
    values = np.tile([0.0, 1.0, 2.0, 3.0], (30, 1))
    assert ranked(values).together() == []  # 30 datasets tell ranks one apart
    few = ranked(values[:6]).together()
    assert all(not set(a) < set(b) for a in few for b in few)


def test_too_few_datasets_or_models_say_why():
    assert "at least 6" in why_no_ranks(4, 5)
    assert why_no_ranks(4, 6) is None
    assert "2 models" in why_no_ranks(2, 9)
    with pytest.raises(ValueError, match="too few"):
        ranked(table(0, datasets=5))


def test_a_model_without_a_value_somewhere_is_left_out():
    by = {f"d{i}": dict(zip(MODELS, row, strict=True)) for i, row in enumerate(table(0).tolist())}
    del by["d3"]["b"]
    assert set(rank_models(by, dict.fromkeys(by, True)).models) == {"a", "c", "d"}
