"""Many metrics on the same predictions: those with a process of their own run beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import getsourcefile
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError, NotMeasurable, ToolError, raised
from mmbench.metrics.base import FloatArray, Metric
from mmbench.metrics.captions.java import beside
from mmbench.sources import OWN_PACKAGES


def compute_statistics(
    metrics: Sequence[Metric], predictions: Sequence[Any], targets: Sequence[Any]
) -> dict[str, FloatArray | ToolError | NotMeasurable]:
    """The statistics of each metric by name, in the order given.

    Where a program that a metric needs is absent, dies or hangs, the data do not hold what it
    measures, or one of another package breaks its contract, its error stands in the place of the
    statistics, and the other metrics are kept.

    Raises: MMBenchError if predictions and targets do not suit a metric.
    """

    def compute(metric: Metric) -> FloatArray | ToolError | NotMeasurable:
        try:
            statistics = metric.statistics(predictions, targets)
        except (ToolError, NotMeasurable) as error:
            return error
        except MMBenchError:
            raise
        except Exception as error:
            if _is_own(metric):
                raise  # a bug, with its traceback
            return _broken(metric, f"fails: {raised(error, getsourcefile(type(metric)))}")
        is_array = isinstance(statistics, np.ndarray)
        if not is_array or statistics.ndim != 2:
            given = f"an array {statistics.shape}" if is_array else type(statistics).__name__
            return _broken(metric, f"gives {given} as `statistics`, where an array (N, k) is due")
        return statistics

    others = [metric for metric in metrics if metric.own_process]
    with beside(max(1, len(others))) as pool:
        waiting = {metric.name: pool.submit(compute, metric) for metric in others}
        done = {m.name: compute(m) for m in metrics if m.name not in waiting}
        done |= {name: future.result() for name, future in waiting.items()}
    return {metric.name: done[metric.name] for metric in metrics}


def _is_own(metric: Metric) -> bool:
    return type(metric).__module__.partition(".")[0] in OWN_PACKAGES


def _broken(metric: Metric, what: str) -> ToolError:
    cls = type(metric)
    metric_class = f"{cls.__module__}:{cls.__name__}"
    return ToolError(
        f"its class {cls.__name__} {what}. `mmbench check metric {metric_class}` says more"
    )
