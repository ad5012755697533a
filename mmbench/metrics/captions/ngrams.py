"""The n-grams of all captions and references, counted at once: what BLEU and CIDEr-D share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmbench.metrics.base import FloatArray, IntArray
from mmbench.metrics.captions.tokens import TokenisedCaptions

LONGEST = 4


@dataclass(frozen=True)
class NGrams:
    """The n-grams of one n; an entry is an n-gram of a sentence, by sentence, then n-gram.

    Attributes:
        sentence: (E,), which sentence.
        gram: (E,), the n-gram's number.
        times: (E,), how often it occurs there.
    """

    sentence: IntArray
    gram: IntArray
    times: FloatArray


@dataclass(frozen=True)
class CountedCaptions:
    """Sentences are numbered: N captions, then their references, image by image.

    Attributes:
        captions: N.
        image: (S,), the image of each sentence, 0..N-1.
        lengths: (S,), words of each sentence.
        ngrams: for n = 1 to 4.
    """

    captions: int
    image: IntArray
    lengths: IntArray
    ngrams: tuple[NGrams, ...]


@lru_cache(maxsize=1)  # metrics of the same captions share the counting
def counted(captions: TokenisedCaptions) -> CountedCaptions:
    """Number and count the words and n-grams of captions and references."""
    number = len(captions.candidates)
    right = np.array([len(references) for references in captions.references])
    image = np.concatenate([np.arange(number), np.repeat(np.arange(number), right)])
    sentences = [*captions.candidates, *(r for refs in captions.references for r in refs)]
    words, sentence = _words(sentences)
    lengths = np.bincount(sentence, minlength=len(sentences))
    return CountedCaptions(number, image, lengths, tuple(_ngrams(words, sentence)))


def pair(first: IntArray, second: IntArray) -> IntArray:
    """One number for each pair of numbers."""
    return first * (int(second.max(initial=0)) + 1) + second


def _words(sentences: Sequence[str]) -> tuple[IntArray, IntArray]:
    """All words as numbers, and the sentence that each is in."""
    split = [sentence.split() for sentence in sentences]
    flat = np.array([word for words in split for word in words], dtype=object)
    return _number(flat), np.repeat(np.arange(len(split)), [len(words) for words in split])


def _ngrams(words: IntArray, sentence: IntArray) -> list[NGrams]:
    found = []
    gram = words
    for n in range(1, LONGEST + 1):
        if n > 1:  # an n-gram is an (n-1)-gram and the word after it, in one sentence
            inside = sentence[: len(sentence) - n + 1] == sentence[n - 1 :]
            gram = np.where(inside, gram[: len(inside)], -1) * (words.max(initial=0) + 1)
            gram = np.where(inside, gram + words[n - 1 :], -1)
        kept = gram >= 0
        numbers, gram = _number(gram[kept]), gram.copy()
        gram[kept] = numbers
        who = sentence[: len(gram)][kept]
        keys, times = np.unique(pair(who, numbers), return_counts=True)
        wide = int(numbers.max(initial=0)) + 1
        found.append(NGrams(keys // wide, keys % wide, times.astype(np.float64)))
    return found


def _number(values: IntArray) -> IntArray:
    """Equal values get equal small numbers."""
    import pandas as pd

    return pd.factorize(values)[0].astype(np.int64)
