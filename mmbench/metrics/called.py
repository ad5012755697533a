"""A metric by its name."""

from __future__ import annotations

from mmbench import registry
from mmbench.direct_names import is_direct
from mmbench.errors import MMBenchError
from mmbench.metrics.base import Metric


def metric_called(name: str) -> Metric:
    """The registered metric of this name, or that of `module:Class`.

    The latter goes by that name in records and signatures, so that whoever reads them finds it.

    Raises: MMBenchError if there is none, or it is no metric.
    """
    metric = registry.load("metrics", name)()
    if not isinstance(metric, Metric):
        raise MMBenchError(f"the metric {name} is no mmbench.metrics.base.Metric")
    if is_direct("metrics", name) and (own := getattr(metric, "name", "")):
        metric.title = metric.title or own.replace("_", " ").capitalize()
        metric.name = name
    return metric
