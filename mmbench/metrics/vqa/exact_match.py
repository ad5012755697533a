"""Exact match after the official VQA answer processing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.vqa.answers import accepted_answers
from mmbench.metrics.vqa.normalise import normalise, strip_answer


class ExactMatch(MeanMetric):
    """The share of answers that are, after normalisation, one of those accepted.

    Case, punctuation, articles, and 'two' for '2' make no difference. An answer of which nothing
    is left ('A', '?') is compared in lower case as it is, so that it matches only its like.

    >>> metric = ExactMatch()
    >>> metric.aggregate(metric.statistics(["Yes.", "left lung"], ["yes", ["right lung", "lung"]]))
    0.5
    >>> metric.signature
    'exact_match|accepted:any|normalise:vqa|v:1'
    """

    tasks = ("vqa",)
    name = "exact_match"
    source = "equality after the answer processing of github.com/GT-Vision-Lab/VQA"

    def settings(self) -> dict[str, str]:
        """Any of the accepted answers, as the official VQA evaluation writes it."""
        return {"accepted": "any", "normalise": "vqa"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """1.0 where the answer is an accepted one, else 0.0; (N, 1).

        Args:
            predictions: N answers.
            targets: N accepted answers, or lists of them.
        Raises: MMBenchError for other inputs.
        """
        accepted = accepted_answers(self.name, predictions, targets)
        right = [
            _compared(prediction) in map(_compared, answers)
            for prediction, answers in zip(predictions, accepted, strict=True)
        ]
        return np.array(right, dtype=np.float64).reshape(-1, 1)


def _compared(answer: str) -> str:
    return normalise(answer) or strip_answer(answer).lower()
