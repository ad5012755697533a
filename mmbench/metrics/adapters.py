"""Metrics of `evaluate` and torchmetrics under mmbench's contract.

They are named `evaluate:<local path>` or `evaluate:<hub name>`, and `torchmetrics:<class>`; `#key`
chooses among several values: `evaluate:rouge#rougeL`. They know no statistics per sample, so their
values have no intervals. What such a metric raises, which may be anything, takes no other metric
with it: a model that it needs is absent, a package, or the samples do not suit it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.direct_names import OTHER_LIBRARIES
from mmbench.errors import MMBenchError, ToolError, in_one_line
from mmbench.metrics.base import FloatArray, Metric

PREFIXES = OTHER_LIBRARIES


class Adapter(Metric):
    """A metric that sees all samples at once; a sample's statistic is its place.

    Args:
        name: as above, with its prefix.
    """

    bounds = (float("-inf"), float("inf"))
    scale = 1.0
    replicates = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.library, _, rest = name.partition(":")
        self.target, _, self.key = rest.partition("#")
        self.title = self.key or self.target
        self._pairs: list[tuple[Any, Any]] = []

    def settings(self) -> dict[str, str]:
        """The library's version."""
        return {self.library: _version(self.library)}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The place of each sample among those that this object has seen; (N, 1)."""
        if len(predictions) != len(targets):
            raise MMBenchError(
                f"{self.name} needs one prediction per target: {len(predictions)} predictions, "
                f"{len(targets)} targets"
            )
        first = len(self._pairs)
        self._pairs += zip(predictions, targets, strict=True)
        return np.arange(first, len(self._pairs), dtype=np.float64)[:, None]

    def aggregate(self, statistics: FloatArray) -> float:
        """The library's value over these samples.

        Raises: ToolError if it gives none: it takes no such predictions, a model or package that it
            needs is absent, or it gives several values and there is no key.
        """
        chosen = [self._pairs[int(place)] for place in statistics[:, 0]]
        try:
            value = self.compute([p for p, _ in chosen], [t for _, t in chosen])
            return float(self._of_key(value) if isinstance(value, Mapping) else value)
        except MMBenchError:
            raise
        except Exception as error:
            raise ToolError(f"{self.library} says: {in_one_line(error)}") from error

    @abstractmethod
    def compute(self, predictions: list[Any], targets: list[Any]) -> Any:
        """A number, or numbers by key."""

    def _of_key(self, values: Mapping[str, Any]) -> Any:
        if not self.key and len(values) == 1:
            return next(iter(values.values()))
        if self.key not in values:
            raise ToolError(
                f"{self.name} gives {', '.join(values)}: choose with "
                f"{self.library}:{self.target}#{next(iter(values))}"
            )
        return values[self.key]


class EvaluateMetric(Adapter):
    """A metric of Hugging Face `evaluate`, from a local path or by a name on the hub."""

    source = "Hugging Face evaluate"

    def __init__(self, name: str, allow_hub_code: bool = False) -> None:
        super().__init__(name)
        if not Path(self.target).exists() and not allow_hub_code:
            raise MMBenchError(
                f"{name}: there is nothing at {self.target}, and a metric of that name on the hub "
                "is code from elsewhere: give --allow-hub-code to download and run it"
            )
        self._module: Any = None
        self._failure = ""
        try:
            import evaluate

            self._module = evaluate.load(self.target)
        except Exception as error:
            self._failure = f"it could not be loaded: {in_one_line(error)}"

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """As `Adapter`'s.

        Raises: ToolError if it could not be loaded.
        """
        if self._failure:
            raise ToolError(self._failure)
        return super().statistics(predictions, targets)

    def compute(self, predictions: list[Any], targets: list[Any]) -> Any:
        """`evaluate`'s values by key."""
        return self._module.compute(predictions=predictions, references=targets)


class TorchMetric(Adapter):
    """A metric of torchmetrics, by its class: `torchmetrics:text.WordErrorRate`."""

    source = "torchmetrics"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        module, _, attribute = f"torchmetrics.{self.target}".rpartition(".")
        try:
            self._make = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise MMBenchError(
                f"{name}: cannot take {attribute} from {module} of torchmetrics "
                f"{_version(self.library)}: {in_one_line(error)}"
            ) from None

    def compute(self, predictions: list[Any], targets: list[Any]) -> Any:
        """The class's value, made without arguments; numbers go in as tensors."""
        metric = self._make()
        metric.update(_tensors(predictions), _tensors(targets))
        return metric.compute()


def adapted(name: str, allow_hub_code: bool = False) -> Metric:
    """The metric that a name with a prefix stands for.

    Args:
        allow_hub_code: whether a metric of `evaluate` may be downloaded from the hub and run.
    """
    if name.startswith("evaluate:"):
        return EvaluateMetric(name, allow_hub_code)
    return TorchMetric(name)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def _tensors(values: list[Any]) -> Any:
    import torch

    numbers = values and all(isinstance(v, int | float) for v in values)
    return torch.tensor(values) if numbers else values
