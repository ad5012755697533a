"""Compact letters: models that share a letter cannot be told apart.

Source: Piepho, An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons, J.
Computational and Graphical Statistics 13, 2004: insert and absorb.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def compact_letters(models: Sequence[str], different: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Letters of each model: two share one if, and only if, they are not known to differ.

    One set of all models is split by each pair that differs, into a set without the one and a set
    without the other; a set that lies within another is absorbed by it. Each set is a letter.

    Args:
        models: names, best first: the best has the letter a.
        different: pairs of them that differ.
    Returns: by model, its letters in the alphabet's order; beyond z they go on with a', b', ...

    >>> compact_letters(["gated", "concat", "sum"], [("gated", "sum")])
    {'gated': 'a', 'concat': 'ab', 'sum': 'b'}
    """
    sets = [frozenset(models)]
    for first, second in different:
        split = []
        for members in sets:
            both = first in members and second in members
            split += [members - {first}, members - {second}] if both else [members]
        sets = [s for s in dict.fromkeys(split) if not any(s < other for other in split)]
    sets.sort(key=lambda members: [model not in members for model in models])
    return {
        model: "".join(_letter(i) for i, members in enumerate(sets) if model in members)
        for model in models
    }


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) + "'" * (number // 26)
