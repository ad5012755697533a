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
from mmbench.metrics.captions.tokens import TOKENIZERS, TokenisedCaptions, tokenised

_LONGEST = 4
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

    name = "cider"
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


def _cider(captions: TokenisedCaptions) -> FloatArray:
    """The value of each of N captions. Sentences are numbered: N candidates, then references."""
    number = len(captions.candidates)
    right = np.array([len(references) for references in captions.references])
    image = np.concatenate([np.arange(number), np.repeat(np.arange(number), right)])  # (S,)
    sentences = [*captions.candidates, *(r for refs in captions.references for r in refs)]
    words, sentence = _words(sentences)
    bigrams = np.maximum(np.bincount(sentence, minlength=len(sentences)) - 1, 0)
    gap = bigrams[:number][image[number:]] - bigrams[number:]
    penalty = np.exp(-(gap.astype(np.float64) ** 2) / (2 * _SIGMA**2))  # (references,)

    total = np.zeros(len(gap))
    for who, gram, times in _ngrams(words, sentence):
        weight = times * (np.log(number) - _log_frequency(image[who], gram, who >= number))
        norm = np.sqrt(np.bincount(who, weight**2, minlength=len(sentences)))
        total += (
            _dot(number, image, who, gram, weight)
            * penalty
            / _or_one(norm[:number][image[number:]] * norm[number:])
        )
    return 10 * np.bincount(image[number:], total, minlength=number) / (_LONGEST * right)


def _words(sentences: Sequence[str]) -> tuple[IntArray, IntArray]:
    """All words as numbers, and the sentence that each is in."""
    import pandas as pd

    split = [sentence.split() for sentence in sentences]
    flat = np.array([word for words in split for word in words], dtype=object)
    return pd.factorize(flat)[0].astype(np.int64), np.repeat(
        np.arange(len(split)), [len(words) for words in split]
    )


def _ngrams(words: IntArray, sentence: IntArray) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """For n = 1 to 4: sentence, n-gram and how often it occurs there."""
    found = []
    gram = words
    for n in range(1, _LONGEST + 1):
        if n > 1:  # an n-gram is an (n-1)-gram and the word after it, in one sentence
            inside = sentence[: len(sentence) - n + 1] == sentence[n - 1 :]
            gram = np.where(inside, gram[: len(inside)], -1) * (words.max(initial=0) + 1)
            gram = np.where(inside, gram + words[n - 1 :], -1)
        kept = gram >= 0
        numbers, gram = _number(gram[kept]), gram.copy()
        gram[kept] = numbers
        who = sentence[: len(gram)][kept]
        keys, times = np.unique(_pair(who, numbers), return_counts=True)
        wide = int(numbers.max(initial=0)) + 1
        found.append((keys // wide, keys % wide, times.astype(np.float64)))
    return found


def _number(values: IntArray) -> IntArray:
    """Equal values get equal small numbers."""
    import pandas as pd

    return pd.factorize(values)[0].astype(np.int64)


def _pair(first: IntArray, second: IntArray) -> IntArray:
    """One number for each pair of numbers."""
    return first * (int(second.max(initial=0)) + 1) + second


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
    keys = _pair(image[who], gram)
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
