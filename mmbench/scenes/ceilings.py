"""How far a predictor gets that is shown some modalities alone, counted over the facts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import Protocol

OVERALL = "overall"


class Asked(Protocol):
    """A question of which it is known what shows what; see `mmbench.scenes.interactions.Asked`."""

    @property
    def answer(self) -> str:
        """The right one."""

    @property
    def category(self) -> str:
        """The kind of question."""

    @property
    def shown(self) -> Mapping[str, Hashable]:
        """By modality, the facts that it shows."""


def ceilings(asked: Iterable[Asked], modalities: Collection[str]) -> dict[str, Fraction]:
    """The accuracy of the best predictor that is shown these modalities.

    It knows, of every combination of facts that the modalities show, the likeliest answer: the sum
    over what can be shown of the most frequent answer's count, over all. Nothing is estimated.

    Args:
        asked: all questions of a split.
        modalities: what is shown of each ("text": the question); none leaves the majority.
    Returns: by category, among its questions alone (so that the category is known, as it is to
        whoever reads the question); and `OVERALL` among all of them.
    """
    answers: dict[str, dict[Hashable, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for one in asked:
        seen = tuple(one.shown[modality] for modality in modalities)
        for group in (one.category, OVERALL):
            answers[group][seen][one.answer] += 1
    return {
        group: Fraction(
            sum(max(counts.values()) for counts in found.values()),
            sum(counts.total() for counts in found.values()),
        )
        for group, found in answers.items()
    }
