"""Average normalised Levenshtein similarity, for answers read from an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.vqa.answers import accepted_answers

THRESHOLD = 0.5


class ANLS(MeanMetric):
    """1 - edits / length to the nearest accepted answer; 0 where that is below 0.5.

    A slip of reading costs little, another answer everything. Case and runs of spaces make no
    difference. Source: Biten et al., Scene Text Visual Question Answering, 2019 (arXiv
    1905.13648), as computed by the evaluation script of the Robust Reading Competition (DocVQA,
    InfographicVQA): there a similarity of exactly 0.5 counts, which the paper's formula cuts to
    0, and the length is that of the longer text before its spaces are squeezed.

    >>> metric = ANLS()
    >>> metric.aggregate(metric.statistics(["abcd", "pepsi"], [["ABCE"], ["coke"]]))
    0.375
    >>> metric.signature
    'anls|accepted:nearest|threshold:0.5|case:lower|v:1'
    """

    tasks = ("vqa",)
    name = "anls"
    title = "ANLS"
    source = "ST-VQA (arXiv 1905.13648), as the Robust Reading Competition's script computes it"

    def settings(self) -> dict[str, str]:
        """The nearest accepted answer, the least similarity that counts, lower case."""
        return {"accepted": "nearest", "threshold": str(THRESHOLD), "case": "lower"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The similarity of each answer to the nearest accepted one, (N, 1).

        Args:
            predictions: N answers.
            targets: N accepted answers, or lists of them.
        Raises: MMBenchError for other inputs.
        """
        accepted = accepted_answers(self.name, predictions, targets)
        nearest = np.array(
            [
                max(_similarity(prediction, answer) for answer in answers)
                for prediction, answers in zip(predictions, accepted, strict=True)
            ],
            dtype=np.float64,
        ).reshape(-1, 1)
        return np.where(nearest < THRESHOLD, 0.0, nearest)


def _similarity(a: str, b: str) -> float:
    length = max(len(a.upper()), len(b.upper()))
    if length == 0:
        return 1.0
    return 1 - levenshtein(" ".join(a.lower().split()), " ".join(b.lower().split())) / length


def levenshtein(a: str, b: str) -> int:
    """The fewest insertions, deletions and substitutions that turn a into b.

    One column of the table of distances is a bit vector of its differences, so a character of b
    costs a few operations on integers. Source: Hyyrö, A Bit-Vector Algorithm for Computing
    Levenshtein and Damerau Edit Distances, 2003, after Myers, 1999.

    >>> levenshtein("kitten", "sitting")
    3
    """
    if not a or not b:
        return len(a) + len(b)
    positions: dict[str, int] = {}
    for i, char in enumerate(a):
        positions[char] = positions.get(char, 0) | 1 << i
    every, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down = every, 0  # rows where the column rises, or falls, by one
    distance = len(a)
    for char in b:
        equal = positions.get(char, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right_up = down | (every & ~(diagonal | up))
        right_down = up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = (right_up << 1 | 1) & every
        right_down = (right_down << 1) & every
        up = right_down | (every & ~(diagonal | right_up))
        down = right_up & diagonal
    return distance
