"""What holds for every metric that the registry finds."""

import inspect

import numpy as np
import pytest

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.metrics.accuracy import Accuracy


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_a_metric_says_what_it_is(name):
    metric = registry.load("metrics", name)()
    assert metric.name == name
    assert metric.signature.startswith(f"{name}|")
    assert metric.signature.endswith(f"|v:{metric.version}")
    assert metric.source
    low, high = metric.bounds
    assert low < high
    assert inspect.getdoc(type(metric))
    assert registry.load("metrics", name)().signature == metric.signature


def test_accuracy_resamples_to_the_mean_of_the_drawn_groups():
    metric = Accuracy()
    statistics = metric.statistics(list("aabb"), list("abbb"))
    groups = np.array([0, 0, 1, 2])
    weights = np.array([[1.0, 1, 1], [2, 0, 1], [0, 3, 0]])
    expected = [3 / 4, (2 * 1 + 1) / 5, 1.0]
    assert metric.resample(statistics, weights, groups) == pytest.approx(expected)
    slow = super(Accuracy.__mro__[2], metric).resample(statistics, weights, groups)
    assert slow == pytest.approx(expected)


def test_accuracy_needs_a_prediction_per_target():
    with pytest.raises(MMBenchError, match="1 predictions, 2 targets"):
        Accuracy().statistics(["a"], ["a", "b"])
