"""The majority vote: the floor that a model must clear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmbench.data.sample import Query, Sample
from mmbench.errors import MMBenchError
from mmbench.task import Answer


class Majority:
    """Always gives the most frequent target of the training samples.

    Of a target that is a list, such as the answers of ten annotators, each counts.
    """

    answer_kinds = ("text",)

    def __init__(self) -> None:
        self.answer: Any = None

    def fit(self, samples: Sequence[Sample]) -> None:
        """Count the targets; among equally frequent ones the first in sorted order is taken."""
        targets = [s.target if isinstance(s.target, list) else [s.target] for s in samples]
        counts = Counter(answer for answers in targets for answer in answers)
        if not counts:
            raise MMBenchError("majority needs at least one training sample")
        self.answer = min(counts, key=lambda target: (-counts[target], str(target)))

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """The same answer to every query."""
        return (Answer(self.answer) for _ in queries)
