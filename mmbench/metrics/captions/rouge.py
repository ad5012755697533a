"""ROUGE-L of captions: the longest common subsequence with the references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, MeanMetric
from mmbench.metrics.captions.tokens import TOKENIZERS, tokenised


class ROUGEL(MeanMetric):
    """F-measure, beta 1.2, of the best precision and best recall of common subsequences.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".

    >>> metric = ROUGEL()
    >>> round(metric.aggregate(metric.statistics(["a dog runs"], [["the dog runs"]])), 6)
    0.666667
    """

    name = "rouge_l"
    source = "Lin, 2004; pycocoevalcap 1.2 Rouge"

    def __init__(self, tokenizer: str = "ptb") -> None:
        self.tokenizer = tokenizer

    def settings(self) -> dict[str, str]:
        """Tokenizer and beta."""
        return {"tokenizer": TOKENIZERS[self.tokenizer], "beta": "1.2"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The F-measure of each caption, zero for an empty one; (N, 1)."""
        from pycocoevalcap.rouge.rouge import Rouge

        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        score = Rouge().calc_score
        values = [
            score([candidate], references) if candidate else 0.0
            for candidate, references in zip(captions.candidates, captions.references, strict=True)
        ]
        return np.array(values, np.float64)[:, None]
