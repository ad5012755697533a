"""Areas, relative and effective robustness, against MultiBench's own code and against sums."""

import numpy as np
import pytest

from mmbench import registry
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.curves import area_weights, combined, kept_weights, relative_to_others
from mmbench.statistics.measured import measure

# By github.com/pliang279/MultiBench, commit 49f9be2, eval_scripts/robustness.py, with these curves
# in its `robustness`: relative_robustness_helper, effective_robustness_helper; and of "mine"
# relative_robustness and effective_robustness.
CURVES = {
    "late": [0.80, 0.74, 0.69, 0.61, 0.55, 0.50, 0.44, 0.41, 0.37, 0.34, 0.30],
    "tensor": [0.84, 0.71, 0.66, 0.60, 0.52, 0.43, 0.40, 0.33, 0.29, 0.26, 0.22],
    "product": [0.78, 0.77, 0.75, 0.70, 0.66, 0.61, 0.55, 0.49, 0.45, 0.38, 0.31],
    "mine": [0.86, 0.80, 0.70, 0.66, 0.58, 0.51, 0.47, 0.40, 0.36, 0.33, 0.31],
}
AREAS = {"late": 0.52, "tensor": 0.473, "product": 0.5905, "mine": 0.5395}
EFFECTIVE = {"late": 0.0, "tensor": -0.93, "product": 0.92, "mine": -0.43}


def test_areas_and_effective_robustness_are_multibenchs():
    area, kept = area_weights(11), kept_weights(11)
    for model, curve in CURVES.items():
        assert area @ curve == pytest.approx(AREAS[model])
        beyond = kept @ curve - kept @ CURVES["late"]
        assert beyond == pytest.approx(EFFECTIVE[model], abs=1e-12)


def test_scaled_among_methods_they_are_multibenchs():
    assert relative_to_others(AREAS, True)["mine"] == pytest.approx(0.5659574468085102)
    assert relative_to_others(EFFECTIVE, True)["mine"] == pytest.approx(0.2702702702702702)


def test_relative_robustness_turns_where_lower_is_better_and_is_unknown_among_equals():
    assert relative_to_others({"a": 1.0, "b": 3.0, "c": 2.0}, False) == {"a": 1, "b": 0, "c": 0.5}
    assert relative_to_others({"a": 1.0, "b": 1.0}, True) == {}
    assert relative_to_others({}, True) == {}


@pytest.fixture
def points():
    """A model's four points over three seeds, and the statistics that they are of."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 4)
    metric = registry.load("metrics", "accuracy")()
    statistics = [
        {seed: (rng.random((400, 1)) < share).astype(float) for seed in range(3)}
        for share in (0.9, 0.8, 0.6, 0.5)
    ]
    return [measure("m", metric, of, groups) for of in statistics], statistics, groups, metric


def test_an_area_has_the_interval_of_the_samples_own_areas(points):
    measured, statistics, groups, metric = points
    weights = area_weights(4)
    found = estimate(combined(measured, weights, "area"))
    by_sample = {
        s: sum(w * of[s] for w, of in zip(weights, statistics, strict=True)) for s in range(3)
    }
    expected = estimate(measure("m", metric, by_sample, groups))
    assert found.mean == pytest.approx(expected.mean)
    assert found.interval.low == pytest.approx(expected.interval.low)
    assert found.interval.high == pytest.approx(expected.interval.high)
    assert found.sd == pytest.approx(expected.sd)
    assert 0.5 < found.interval.low < found.mean < found.interval.high < 0.9


def test_what_is_kept_beyond_oneself_is_nothing(points):
    kept = combined(points[0], kept_weights(4), "kept")
    assert kept.mean == pytest.approx(sum(p.mean - points[0][0].mean for p in points[0]))
    found = difference(kept, kept)
    assert (found.difference, found.p_value) == (0, 1)
    assert kept.metric.bounds == (-3.0, 3.0)
