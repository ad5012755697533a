"""Many metrics on the same predictions: those with a process of their own run beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.errors import NotMeasurable, ToolError
from mmbench.metrics.base import FloatArray, Metric
from mmbench.metrics.captions.java import beside


def compute_statistics(
    metrics: Sequence[Metric], predictions: Sequence[Any], targets: Sequence[Any]
) -> dict[str, FloatArray | ToolError | NotMeasurable]:
    """The statistics of each metric by name, in the order given.

    Where a program that a metric needs is absent, dies or hangs, or the data do not hold what it
    measures, its error stands in the place of the statistics, and the other metrics are kept.

    Raises: MMBenchError if predictions and targets do not suit a metric.
    """

    def compute(metric: Metric) -> FloatArray | ToolError | NotMeasurable:
        try:
            return metric.statistics(predictions, targets)
        except (ToolError, NotMeasurable) as error:
            return error

    others = [metric for metric in metrics if metric.own_process]
    with beside(max(1, len(others))) as pool:
        waiting = {metric.name: pool.submit(compute, metric) for metric in others}
        done = {m.name: compute(m) for m in metrics if m.name not in waiting}
        done |= {name: future.result() for name, future in waiting.items()}
    return {metric.name: done[metric.name] for metric in metrics}
