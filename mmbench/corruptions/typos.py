"""Typing errors in a text.

Source: Belinkov and Bisk, Synthetic and Natural Noise Both Break Neural Machine Translation, ICLR
2018 (arXiv 1711.02173): letters swapped, and keys beside the right one; here a letter may also be
left out or doubled, as in Pruthi et al., ACL 2019 (arXiv 1905.11268).
"""

from __future__ import annotations

from mmbench.corruptions.base import Corruption, generator

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of a QWERTY keyboard
_BESIDE = {
    key: "".join(filter(None, (row[place - 1 : place], row[place + 1 : place + 2])))
    for row in _ROWS
    for place, key in enumerate(row)
}


class Typos(Corruption):
    """A word is mistyped with this probability, in one letter: swapped, beside, out or doubled.

    >>> Typos().damaged("is there a red circle?", 0.5, seed=1)
    'is there a reed ciircle?'
    """

    modalities = ("text",)
    amounts = (0.1, 0.2, 0.3, 0.4, 0.5)
    unit = "probability of each word"

    def damaged(self, value: str, amount: float, seed: int) -> str:
        words = value.split(" ")
        drawn = generator(seed).random((len(words), 3)).tolist()
        return " ".join(
            _mistyped(word, kind, place) if x < amount else word
            for word, (x, kind, place) in zip(words, drawn, strict=True)
        )


def _mistyped(word: str, kind: float, place: float) -> str:
    """A word with one error; kind and place are numbers from 0 to 1."""
    letters = [at for at, character in enumerate(word) if character.isalpha()]
    if not letters:
        return word
    at = letters[int(place * len(letters))]
    before, letter, after = word[:at], word[at], word[at + 1 :]
    if kind < 0.25 and after[:1].isalpha():
        return before + after[0] + letter + after[1:]
    if kind < 0.5 and letter.lower() in _BESIDE:
        beside = _BESIDE[letter.lower()]
        other = beside[int(kind * 4 % 1 * len(beside))]
        return before + (other.upper() if letter.isupper() else other) + after
    if kind < 0.75 and len(word) > 1:
        return before + after
    return before + letter + letter + after
