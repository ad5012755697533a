"""BLEU-1 to BLEU-4 of captions: clipped n-gram precision with a brevity penalty."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mmbench.metrics.base import FloatArray, IntArray, TotalsMetric
from mmbench.metrics.captions.ngrams import CountedCaptions, NGrams, counted, pair
from mmbench.metrics.captions.tokens import TOKENIZERS, TokenisedCaptions, tokenised

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

    tasks = ("captioning",)
    source = "Papineni et al., ACL 2002; pycocoevalcap 1.2 Bleu"

    def __init__(self, order: int = 4, tokenizer: str = "ptb") -> None:
        self.order, self.tokenizer = order, tokenizer
        self.name, self.title = f"bleu_{order}", f"BLEU-{order}"

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
    counts = counted(captions)
    length = counts.lengths[: counts.captions]
    found = [_found(counts, grams) for grams in counts.ngrams]
    made = [np.maximum(length - n, 0) for n in range(len(found))]
    return np.stack([length, _closest(counts), *found, *made], axis=1).astype(np.float64)


def _closest(counts: CountedCaptions) -> IntArray:
    """The length of the reference nearest in length to each caption, the shorter of two; (N,)."""
    number, image = counts.captions, counts.image[counts.captions :]
    lengths = counts.lengths[number:]
    order = np.lexsort((lengths, np.abs(lengths - counts.lengths[image]), image))
    first = np.searchsorted(image, np.arange(number))  # references stand image by image
    return lengths[order[first]]


def _found(counts: CountedCaptions, grams: NGrams) -> FloatArray:
    """N-grams of each caption that are in a reference, each at most as often as there; (N,)."""
    number, image = counts.captions, counts.image
    keys = pair(image[grams.sentence], grams.gram)
    mine = grams.sentence < number
    order = np.lexsort((-grams.times[~mine], keys[~mine]))
    known, first = np.unique(keys[~mine][order], return_index=True)
    most = grams.times[~mine][order][first]  # in any one reference
    if not len(known):
        return np.zeros(number)
    place = np.minimum(np.searchsorted(known, keys[mine]), len(known) - 1)
    clipped = np.where(known[place] == keys[mine], np.minimum(grams.times[mine], most[place]), 0)
    return np.bincount(grams.sentence[mine], clipped, minlength=number).astype(np.float64)
