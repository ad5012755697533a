"""What a predictor answered, taken from its stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.task import Answer, Failure, Predictor


def values_of(predictor: Predictor, queries: Sequence[Query], name: str) -> list[Any]:
    """The values of a predictor's answers.

    Args: as of `answers_of`.
    """
    return [answer.value for answer in answers_of(predictor, queries, name)]


def answers_of(
    predictor: Predictor,
    queries: Sequence[Query],
    name: str,
    advanced: Callable[[int], None] | None = None,
) -> list[Answer]:
    """A predictor's answers.

    Args:
        name: the predictor's, for an error.
        advanced: called with 1 for each answer that comes.
    Raises: MMBenchError if there is not an answer for each query.
    """
    answers = predictor.predict(queries)
    given = list(answers if advanced is None else _counted(answers, advanced))
    if len(given) != len(queries):
        raise MMBenchError(f"{name} gave {len(given)} answers to {len(queries)} queries")
    odd = next((answer for answer in given if not isinstance(answer, Answer | Failure)), None)
    if odd is not None:
        raise MMBenchError(
            f"{name} gives a {type(odd).__name__} where it must give an Answer or a Failure (of "
            "mmbench.task): was it made for an earlier mmbench?"
        )
    failures = [
        f"{query.id}: {answer.reason}"
        for query, answer in zip(queries, given, strict=True)
        if isinstance(answer, Failure)
    ]
    if failures:
        raise MMBenchError(
            f"{name} failed at {len(failures):,} of {len(given):,} queries, the first of which is "
            f"{failures[0]}. A run needs an answer to each"
        )
    return [answer for answer in given if isinstance(answer, Answer)]


def _counted(
    given: Iterable[Answer | Failure], advanced: Callable[[int], None]
) -> Iterator[Answer | Failure]:
    for answer in given:
        advanced(1)
        yield answer
