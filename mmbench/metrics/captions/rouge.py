"""ROUGE-L of captions: the longest common subsequence with the references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.captions.tokens import TOKENIZERS, tokenised

_BETA = 1.2


class ROUGEL(MeanMetric):
    """F-measure, beta 1.2, of the best precision and best recall of common subsequences.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".

    >>> metric = ROUGEL()
    >>> round(metric.aggregate(metric.statistics(["a dog runs"], [["the dog runs"]])), 6)
    0.666667
    """

    tasks = ("captioning",)
    name = "rouge_l"
    title = "ROUGE-L"
    source = "Lin, 2004; pycocoevalcap 1.2 Rouge"

    def __init__(self, tokenizer: str = "ptb") -> None:
        self.tokenizer = tokenizer

    def settings(self) -> dict[str, str]:
        """Tokenizer and beta."""
        return {"tokenizer": TOKENIZERS[self.tokenizer], "beta": str(_BETA)}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The F-measure of each caption, zero for an empty one; (N, 1)."""
        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        values = [
            _f_measure(candidate.split(), [reference.split() for reference in references])
            for candidate, references in zip(captions.candidates, captions.references, strict=True)
        ]
        return np.array(values, np.float64)[:, None]


def _f_measure(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Of the best precision and the best recall, which may be of two references."""
    places: dict[str, int] = {}  # by word, a bit for each place of the candidate where it stands
    for place, word in enumerate(candidate):
        places[word] = places.get(word, 0) | 1 << place
    common = [_longest_common(places, len(candidate), reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(c / max(len(r), 1) for c, r in zip(common, references, strict=True))
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_common(places: dict[str, int], length: int, words: Sequence[str]) -> int:
    """The length of the longest common subsequence, a whole row of the table as one number.

    Source: Hyyro, Bit-parallel LCS-length computation revisited, 2004, eq. 6.
    """
    row = whole = (1 << length) - 1
    for word in words:
        matched = row & places.get(word, 0)
        row = (row + matched) | (row - matched)
    return length - (row & whole).bit_count()
