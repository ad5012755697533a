"""What every metric must keep: see `mmbench.metrics.base.Metric`.

Each check is a function of a way to make one: `make()`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmbench.checks.contract import Make, require
from mmbench.errors import MMBenchError, raised
from mmbench.metrics.base import FloatArray, Metric
from mmbench.metrics.called import metric_called

_PREDICTIONS = ["a red ball", "Yes", "two cats", "no", "a dog on a mat", "blue"]
_TARGETS = ["a red ball", "yes", "three cats", "no", "a cat on a mat", "green"]
_EXAMPLES: tuple[tuple[list[Any], list[Any]], ...] = (  # answers, and answers of several people
    (_PREDICTIONS, _TARGETS),
    (_PREDICTIONS, [[target] * 8 + ["no"] * 2 for target in _TARGETS]),
)


def metric_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make a metric: `make()`.

    Args:
        name: registered, or `module:Class`.
        options: none: a metric's settings are its own.
        width: of no effect.
    Raises: MMBenchError for options, or a metric that says nothing of texts and has no `examples`.
    """
    if options:
        raise MMBenchError(f"a metric takes no options, got {', '.join(options)}")

    metric = metric_called(name)
    if metric.examples() is None:
        examples_of(metric)

    def make() -> Metric:
        return metric_called(name)

    return make


def examples_of(metric: Metric) -> tuple[Sequence[Any], Sequence[Any], FloatArray]:
    """Predictions, targets and statistics to try a metric with: its own, or texts.

    Raises: MMBenchError if it says nothing of them.
    """
    own = metric.examples()
    why = "it gives no examples"
    for predictions, targets in _EXAMPLES if own is None else (own,):
        try:
            return predictions, targets, metric.statistics(predictions, targets)
        except Exception as error:  # whatever a metric raises of what it does not take
            if own is not None:
                raise
            why = raised(error, inspect.getsourcefile(type(metric)))
    raise MMBenchError(
        f"the metric {metric.name} takes no texts to be tried with ({why}): give its class a "
        "method `examples()` that returns predictions and targets that it measures"
    )


def check_what_it_says(make: Make) -> None:
    """It has a name, a source, bounds, a docstring, and a signature that stays the same."""
    metric = make()
    require(isinstance(metric, Metric), f"{type(metric).__name__} is no mmbench.metrics Metric")
    for attribute in ("name", "source"):
        require(bool(getattr(metric, attribute, "")), f"it does not say its `{attribute}`")
    low, high = metric.bounds
    require(low < high, f"its bounds are {low} to {high}")
    require(bool(inspect.getdoc(type(metric))), "its class has no docstring")
    require(make().signature == metric.signature, "two of it have different signatures")


def check_statistics(make: Make) -> None:
    """Statistics are float64 (N, k) of numbers, a row a sample, the same each time."""
    metric = make()
    predictions, targets, found = examples_of(metric)
    require(isinstance(found, np.ndarray), f"`statistics` gives a {type(found).__name__}")
    require(
        found.ndim == 2 and len(found) == len(targets) and found.dtype == np.float64,
        f"of {len(targets)} samples, `statistics` gives {found.dtype} {found.shape}",
    )
    require(bool(np.isfinite(found).all()), "`statistics` gives NaN or infinity")
    again = make().statistics(predictions, targets)
    require(np.array_equal(found, again), "the same predictions give two statistics")


def check_value(make: Make) -> None:
    """The value lies in its bounds, and the order of the samples does not change it."""
    metric = make()
    _, _, found = examples_of(metric)
    value, turned = metric.aggregate(found), metric.aggregate(found[::-1])
    low, high = metric.bounds
    require(low <= value <= high, f"the value is {value}, and its bounds are {low} to {high}")
    require(bool(np.isclose(value, turned)), f"in another order {value} becomes {turned}")


def check_direction(make: Make) -> None:
    """Predictions that are the targets score no worse than others."""
    metric = make()
    predictions, targets, found = examples_of(metric)
    if any(type(p) is not type(t) for p, t in zip(predictions, targets, strict=True)):
        return
    value, best = metric.aggregate(found), metric.aggregate(metric.statistics(targets, targets))
    better = best >= value if metric.higher_is_better else best <= value
    word = "higher" if metric.higher_is_better else "lower"
    require(better, f"right predictions give {best}, others {value}, and {word} is better")


def check_resampling(make: Make) -> None:
    """`resample` gives what `aggregate` gives of the samples that are drawn, repeated ones too."""
    metric = make()
    _, _, found = examples_of(metric)
    groups = np.arange(len(found)) // 2
    weights = np.ones((3, groups.max() + 1))
    weights[1, 0], weights[2, -1] = 3, 0
    values = metric.resample(found, weights, groups)
    slow = Metric.resample(metric, found, weights, groups)
    require(
        values.shape == (3,) and bool(np.allclose(values, slow)),
        f"`resample` gives {values}, and `aggregate` of the same draws {slow}",
    )


CHECKS = (check_what_it_says, check_statistics, check_value, check_direction, check_resampling)
