"""Exact-match accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, MeanMetric


class Accuracy(MeanMetric):
    """The share of samples whose prediction equals the target, character by character.

    >>> metric = Accuracy()
    >>> metric.aggregate(metric.statistics(["yes", "red"], ["yes", "blue"]))
    0.5
    >>> metric.signature
    'accuracy|match:exact|normalise:none|v:1'
    """

    tasks = ("vqa",)
    name = "accuracy"
    source = "fraction of equal strings, as sklearn.metrics.accuracy_score"

    def settings(self) -> dict[str, str]:
        """Exact comparison, no normalisation."""
        return {"match": "exact", "normalise": "none"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """1.0 where prediction and target are equal, else 0.0; (N, 1)."""
        if len(predictions) != len(targets):
            raise MMBenchError(
                f"accuracy needs one prediction per target: {len(predictions)} predictions, "
                f"{len(targets)} targets"
            )
        several = [place for place, target in enumerate(targets) if isinstance(target, list)]
        if several:
            raise MMBenchError(
                f"accuracy compares with one right answer, and target {several[0]} is a list: "
                "exact_match and vqa_accuracy take several"
            )
        equal = [p == t for p, t in zip(predictions, targets, strict=True)]
        return np.asarray(equal, dtype=np.float64)[:, None]
