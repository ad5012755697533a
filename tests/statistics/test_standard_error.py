"""Clustered standard errors, against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.statistics.bootstrap import group_codes
from mmbench.statistics.standard_error import standard_error


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.floats(-100, 100, width=32)), min_size=3, max_size=40
    ).filter(lambda pairs: len({group for group, _ in pairs}) > 1)
)
def test_equals_cluster_robust_least_squares(pairs: list[tuple[int, float]]) -> None:
    codes, _ = group_codes([group for group, _ in pairs])
    values = np.array([value for _, value in pairs], dtype=np.float64)
    fitted = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": codes}
    )
    assert standard_error(values, codes) == pytest.approx(fitted.bse[0], rel=1e-9, abs=1e-9)


def test_a_group_for_each_sample_gives_the_usual_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=30)
    expected = values.std(ddof=1) / np.sqrt(30)
    assert standard_error(values, np.arange(30)) == pytest.approx(expected, rel=1e-12)


def test_copies_of_a_sample_in_its_group_add_no_information() -> None:
    values = np.random.default_rng(0).normal(size=30)
    once = standard_error(values, np.arange(30))
    thrice = standard_error(np.repeat(values, 3), np.repeat(np.arange(30), 3))
    assert thrice == pytest.approx(once, rel=1e-12)


def test_one_group_has_no_standard_error() -> None:
    assert np.isnan(standard_error(np.array([0.0, 1.0]), np.array([0, 0])))
