"""CIDEr-D of captions: cosine of TF-IDF weighted n-grams, computed for all captions at once.

Source: Vedantam, Zitnick and Parikh, CVPR 2015 (arXiv 1411.5726), section 5 and CIDEr-D; equal to
pycocoevalcap's `Cider` to 1e-9 per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.metrics.base import FloatArray, IntArray, MeanMetric
from mmbench.metrics.captions.ngrams import LONGEST, counted, pair
from mmbench.metrics.captions.tokens import TOKENIZERS, TokenisedCaptions, tokenised

_SIGMA = 6.0


class CIDErD(MeanMetric):
    """Ten times the mean over n-grams (1 to 4) and references of the clipped TF-IDF cosine.

    Document frequencies are those of all references given. A difference in length (in bigrams, as
    the reference implementation has it) is punished by a Gaussian of width 6.

    Args:
        tokenizer: "ptb" as COCO does, or "whitespace".

    >>> metric = CIDErD()
    >>> references = [["a dog runs fast"], ["two cats sleep on a bed"]]
    >>> round(metric.aggregate(metric.statistics(["a dog runs", "two cats sleep"], references)), 6)
    4.988489
    """

    tasks = ("captioning",)
    name = "cider"
    title = "CIDEr"
    bounds = (0.0, 10.0)
    source = "Vedantam et al., CVPR 2015, CIDEr-D; pycocoevalcap 1.2 Cider"

    def __init__(self, tokenizer: str = "ptb") -> None:
        self.tokenizer = tokenizer

    def settings(self) -> dict[str, str]:
        """Variant, tokenizer, where document frequencies come from."""
        return {"variant": "d", "tokenizer": TOKENIZERS[self.tokenizer], "idf": "references"}

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """The CIDEr-D of each caption; (N, 1)."""
        captions = tokenised(self.name, self.tokenizer, predictions, targets)
        return _cider(captions)[:, None]

    def notes(self, statistics: FloatArray) -> list[str]:
        """Why every caption scores zero, where each does."""
        if statistics.any():
            return []
        if len(statistics) == 1:
            return [
                "cider: 0 whatever the caption says: of a single image every n-gram is in all "
                "references, and its weight (IDF) is log 1 = 0"
            ]
        return [
            "cider: 0 for every caption: none shares an n-gram with its references but those that "
            f"the references of all {len(statistics):,} images have, whose weight (IDF) is 0"
        ]


def _cider(captions: TokenisedCaptions) -> FloatArray:
    """The value of each of N captions."""
    counts = counted(captions)
    number, image = counts.captions, counts.image
    bigrams = np.maximum(counts.lengths - 1, 0)
    gap = bigrams[:number][image[number:]] - bigrams[number:]
    penalty = np.exp(-(gap.astype(np.float64) ** 2) / (2 * _SIGMA**2))  # (references,)

    total = np.zeros(len(gap))
    for grams in counts.ngrams:
        who, gram = grams.sentence, grams.gram
        frequency = _log_frequency(image[who], gram, who >= number)
        weight = grams.times * (np.log(number) - frequency)
        norm = np.sqrt(np.bincount(who, weight**2, minlength=len(image)))
        total += (
            _dot(number, image, who, gram, weight)
            * penalty
            / _or_one(norm[:number][image[number:]] * norm[number:])
        )
    right = np.bincount(image[number:], minlength=number)
    return 10 * np.bincount(image[number:], total, minlength=number) / (LONGEST * right)


def _log_frequency(
    image: IntArray, gram: IntArray, of_reference: npt.NDArray[np.bool_]
) -> FloatArray:
    """For each entry, the log of how many images' references hold its n-gram; at least log 1."""
    import pandas as pd  # its unique needs no sort

    wide = int(gram.max(initial=0)) + 1
    held = pd.unique(image[of_reference] * wide + gram[of_reference]) % wide
    frequency = np.bincount(held, minlength=wide)
    return np.log(np.maximum(frequency, 1.0))[gram]


def _dot(
    number: int, image: IntArray, who: IntArray, gram: IntArray, weight: FloatArray
) -> FloatArray:
    """For each reference: the sum over its n-grams of min(candidate's, its) * its weight."""
    keys = pair(image[who], gram)
    mine = who < number
    order = keys[mine]  # ascending: entries are sorted by sentence, then n-gram
    place = np.minimum(np.searchsorted(order, keys[~mine]), max(len(order) - 1, 0))
    references = len(image) - number
    if not len(order):
        return np.zeros(references)
    shared = order[place] == keys[~mine]
    candidate = np.where(shared, weight[mine][place], 0.0)
    product = np.minimum(candidate, weight[~mine]) * weight[~mine]
    return np.bincount(who[~mine] - number, product, minlength=references).astype(np.float64)


def _or_one(values: FloatArray) -> FloatArray:
    return np.where(values == 0, 1.0, values)
