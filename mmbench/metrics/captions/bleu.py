"""BLEU-1 to BLEU-4 of captions: clipped n-gram precision with a brevity penalty."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.metrics.captions.tokens import TOKENIZERS, TokenisedCaptions, tokenised

_LONGEST = 4
_SMALL, _TINY = 1e-9, 1e-15  # pycocoevalcap's, which keep a division by zero away


class BLEU(TotalsMetric):
    """Corpus BLEU up to n-grams of `order`, closest reference length, as COCO computes it.

    Args:
        order: longest n-gram, 1 to 4.
        tokenizer: "ptb" as COCO does, or "whitespace" for captions that are tokens already.

    >>> metric = BLEU(2)
    >>> references = [["A man rides a horse.", "Man on a horse"]]
    >>> round(metric.aggregate(metric.statistics(["a man on a horse"], references)), 6)
    1.0
    >>> metric.signature
    'bleu_2|tokenizer:ptb-3.4.1|length:closest|smooth:none|v:1'
    """

    source = "Papineni et al., ACL 2002; pycocoevalcap 1.2 Bleu"

    def __init__(self, order: int = 4, tokenizer: str = "ptb") -> None:
        self.order, self.tokenizer = order, tokenizer
        self.name = f"bleu_{order}"

    def settings(self) -> dict[str, str]:
        """Tokenizer; the reference closest in length counts; no smoothing."""
        return {
            "tokenizer": TOKENIZERS[self.tokenizer],
            "length": "closest",
            "smooth": "none",
        }

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Lengths of caption and closest reference, n-grams found, n-grams made; (N, 2 + 2 n)."""
        counts = _counts(tokenised(self.name, self.tokenizer, predictions, targets))
        found, made = counts[:, 2 : 2 + self.order], counts[:, 6 : 6 + self.order]
        return np.concatenate([counts[:, :2], found, made], axis=1)

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """Brevity penalty times the geometric mean of the precisions."""
        found, made = totals[..., 2 : 2 + self.order], totals[..., 2 + self.order :]
        precision = np.prod((found + _TINY) / (made + _SMALL), axis=-1) ** (1 / self.order)
        ratio = (totals[..., 0] + _TINY) / (totals[..., 1] + _SMALL)
        with np.errstate(over="ignore"):
            return precision * np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1.0)


@lru_cache(maxsize=1)  # four orders share the counting
def _counts(captions: TokenisedCaptions) -> FloatArray:
    """Caption length, closest reference length, 4 counts found, 4 counts made; (N, 10)."""
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    rows = []
    for candidate, references in zip(captions.candidates, captions.references, strict=True):
        cooked = cook_test(candidate, cook_refs(references, n=_LONGEST), "closest", _LONGEST)
        rows.append([cooked["testlen"], cooked["reflen"], *cooked["correct"], *cooked["guess"]])
    return np.array(rows, np.float64)


bleu_1 = partial(BLEU, 1)
bleu_2 = partial(BLEU, 2)
bleu_3 = partial(BLEU, 3)
bleu_4 = partial(BLEU, 4)
