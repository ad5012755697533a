"""Words that are left out of a text.

Source: Wei and Zou, EDA: Easy Data Augmentation Techniques, EMNLP 2019 (arXiv 1901.11196): random
deletion, and its shares up to one half.
"""

from __future__ import annotations

from mmbench.corruptions.base import Corruption, generator


class WordsDropped(Corruption):
    """Each word is left out with this probability; one word is always left.

    >>> WordsDropped().damaged("is there a red circle?", 0.5, seed=1)
    'is there red'
    """

    modalities = ("text",)
    amounts = (0.1, 0.2, 0.3, 0.4, 0.5)
    unit = "probability of each word"

    def damaged(self, value: str, amount: float, seed: int) -> str:
        words = value.split()
        if not words:
            return value
        drawn = generator(seed).random(len(words))
        kept = [word for word, x in zip(words, drawn, strict=True) if x >= amount]
        return " ".join(kept or [words[drawn.argmax()]])
