"""The official VQA accuracy: agreement with ten annotators, leave-one-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.vqa.answers import accepted_answers
from mmbench.metrics.vqa.normalise import normalise, strip_answer

ENOUGH = 3  # annotators who gave an answer that is wholly right


class VQAAccuracy(MeanMetric):
    """min(annotators who gave the answer / 3, 1), averaged over leaving out each annotator.

    As in the official evaluation, prediction and annotations are normalised only where the
    annotators' answers differ: where all agree, which is how text in the image is written, the
    answer must be theirs to the letter.

    Source: Antol et al., VQA: Visual Question Answering, 2015 (arXiv 1505.00468), and the
    evaluation code at github.com/GT-Vision-Lab/VQA (a013f00), matched to the last digit.

    >>> metric = VQAAccuracy()
    >>> annotators = ["yes"] * 2 + ["no"] * 8
    >>> round(metric.aggregate(metric.statistics(["Yes."], [annotators])), 3)
    0.6
    >>> metric.signature
    'vqa_accuracy|annotators:leave-one-out|enough:3|normalise:vqa-where-annotators-differ|v:1'
    """

    tasks = ("vqa",)
    name = "vqa_accuracy"
    title = "VQA accuracy"
    source = "official VQA evaluation, github.com/GT-Vision-Lab/VQA (arXiv 1505.00468)"

    def settings(self) -> dict[str, str]:
        """How annotators are counted and answers compared."""
        return {
            "annotators": "leave-one-out",
            "enough": str(ENOUGH),
            "normalise": "vqa-where-annotators-differ",
        }

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The accuracy of each answer, (N, 1).

        Args:
            predictions: N answers.
            targets: N lists of annotators' answers, ten in VQA v2, at least four.
        Raises: MMBenchError for other inputs.
        """
        annotations = accepted_answers(self.name, predictions, targets)
        for index, answers in enumerate(annotations):
            if len(answers) <= ENOUGH:
                raise MMBenchError(
                    f"{self.name} needs the answers of at least {ENOUGH + 1} annotators: target "
                    f"{index} has {len(answers)}. exact_match takes one answer or several"
                )
        pairs = zip(predictions, annotations, strict=True)
        return np.array([_accuracy(*pair) for pair in pairs], dtype=np.float64).reshape(-1, 1)


def _accuracy(prediction: str, annotations: list[str]) -> float:
    prediction = strip_answer(prediction)
    annotations = [strip_answer(answer) for answer in annotations]
    if len(set(annotations)) > 1:
        prediction = normalise(prediction)
        annotations = [normalise(answer) for answer in annotations]
    gave = annotations.count(prediction)
    others = len(annotations) - gave
    # Leaving out one who gave the answer, and leaving out one who did not.
    return (gave * min((gave - 1) / ENOUGH, 1) + others * min(gave / ENOUGH, 1)) / len(annotations)
