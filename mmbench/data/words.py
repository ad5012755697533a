"""A vocabulary of words, for encoders that are trained from nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

PADDING, UNKNOWN = 0, 1
_BETWEEN = re.compile(r" (['’-]) (?=\w)")  # joins the words on both sides
_BEFORE_MARK = re.compile(r" ([,.;:!?)])")
_WORD = re.compile(r"\w+|[^\w\s]")


class Vocabulary:
    """Lower-case words and punctuation marks <-> numbers; 0 pads, 1 is any unknown word.

    >>> vocabulary = Vocabulary.of(["a red circle", "a blue circle?"])
    >>> vocabulary.encode(["a green circle"]).tolist()
    [[2, 1, 3]]
    """

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self._numbers = {word: number for number, word in enumerate(words, start=2)}
        self._encoded: dict[str, list[int]] = {}

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 1) -> Vocabulary:
        """The words that appear at least `least` times, most frequent first."""
        counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([word for word, count in ordered if count >= least])

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """Token numbers (B, L), padded with 0 to the longest; a text without words is one 1."""
        rows = self.rows(texts)
        tokens = np.full((len(rows), max(map(len, rows))), PADDING, dtype=np.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = row
        return tokens

    def rows(self, texts: Iterable[str]) -> list[list[int]]:
        """The numbers of each text's words."""
        return [self._encode(text) for text in texts]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words of these numbers as a text, with marks joined to the words before them.

        >>> vocabulary = Vocabulary.of(["a man's hat, red"])
        >>> vocabulary.decode(vocabulary.encode(["a red man's hat, red"])[0].tolist())
        "a red man's hat, red"
        """
        text = " ".join(self.words[number - 2] for number in numbers)
        return _BEFORE_MARK.sub(r"\1", _BETWEEN.sub(r"\1", text))

    def _encode(self, text: str) -> list[int]:
        if text not in self._encoded:
            words = _WORD.findall(text.lower())
            self._encoded[text] = [self._numbers.get(w, UNKNOWN) for w in words] or [UNKNOWN]
        return self._encoded[text]
