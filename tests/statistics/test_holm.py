"""Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.statistics.holm import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_example_worked_by_hand() -> None:
    # ordered: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 -> 0.02, 0.03, 0.06, and no less: 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None)  # the first call imports statsmodels
@given(P_VALUES)
def test_adjusted_values_follow_the_definition(p_values: list[float]) -> None:
    expected, most = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        most = max(most, (len(p_values) - rank) * p_values[index])
        expected[index] = min(most, 1)
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, wrong])


def test_no_tests_need_no_correction() -> None:
    assert holm([]).tolist() == []
