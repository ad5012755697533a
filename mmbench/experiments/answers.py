"""What a predictor answered, taken from its stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.processes import here
from mmbench.records.record import RequestsEntry
from mmbench.records.statistics_file import BoolArray
from mmbench.task import Answer, Failure, Predictor

MOST_REASONS = 12  # that a record tells apart
OTHER_REASONS = "other reasons"

T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """What came of queries.

    Attributes:
        given: an answer or a failure for each, in order.
    """

    given: Sequence[Answer | Failure]

    @property
    def answers(self) -> list[Answer]:
        """Those that came, in order."""
        return [each for each in self.given if isinstance(each, Answer)]

    @property
    def failures(self) -> dict[int, str]:
        """By the query's place, why it has no answer."""
        found = enumerate(self.given)
        return {place: each.reason for place, each in found if isinstance(each, Failure)}

    @property
    def mask(self) -> BoolArray | None:
        """Which queries have an answer; None where all have."""
        mask = np.array([isinstance(each, Answer) for each in self.given], np.bool_)
        return None if mask.all() else mask

    def of_answered(self, values: Sequence[T]) -> Sequence[T]:
        """Of a value per query, those of the queries that have an answer."""
        if not self.failures:
            return values
        pairs = zip(values, self.given, strict=True)
        return [value for value, each in pairs if isinstance(each, Answer)]


def requests_of(answered: Answered) -> RequestsEntry | None:
    """What the answers of a server took; None where none was asked."""
    used = [each.usage for each in answered.given if each.usage is not None]
    if not used:
        return None
    seconds = [answer.seconds for answer in answered.answers if answer.seconds is not None]
    return RequestsEntry(
        requests=sum(usage.requests for usage in used),
        kept=sum(usage.kept for usage in used),
        tokens_in=_sum(usage.tokens_in for usage in used),
        tokens_out=_sum(usage.tokens_out for usage in used),
        latency_p50=float(np.percentile(seconds, 50)) if seconds else None,
        latency_p95=float(np.percentile(seconds, 95)) if seconds else None,
        price=_sum(usage.price for usage in used),
    )


N = TypeVar("N", int, float)


def _sum(values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def reasons_of(failures: Iterable[str]) -> dict[str, int]:
    """How many queries failed for each reason, the most frequent first; rare ones as one.

    >>> reasons_of(["HTTP 500", "no reply", "HTTP 500"])
    {'HTTP 500': 2, 'no reply': 1}
    """
    counts = Counter(failures).most_common()
    found = dict(counts[:MOST_REASONS])
    if others := sum(count for _, count in counts[MOST_REASONS:]):
        found[OTHER_REASONS] = others
    return found


def values_of(predictor: Predictor, queries: Sequence[Query], name: str) -> list[Any]:
    """The values of a predictor's answers, where each query must have one.

    Args: as of `answers_of`.
    Raises: MMBenchError also where a query has none.
    """
    answered = answers_of(predictor, queries, name)
    for place, reason in answered.failures.items():
        raise MMBenchError(
            f"{name} failed at {len(answered.failures):,} of {len(queries):,} queries, the first "
            f"of which is {queries[place].id}: {reason}. An answer to each is needed here"
        )
    return [answer.value for answer in answered.answers]


def answers_of(
    predictor: Predictor,
    queries: Sequence[Query],
    name: str,
    advanced: Callable[[int], None] | None = None,
) -> Answered:
    """A predictor's answers, and where it failed.

    Of several processes of a run each asks for a part where the predictor says where queries may
    be parted (`Predictor`), and has the answers of all; of another one the first process asks.

    Args:
        name: the predictor's, for an error.
        advanced: called with 1 for each answer that comes.
    Raises: MMBenchError if there is not an answer or a failure for each query.
    """

    def ask(queries: Sequence[Query]) -> list[Any]:
        answers = predictor.predict(queries)
        return list(answers if advanced is None else _counted(answers, advanced))

    if not here().several or getattr(predictor, "of_all_processes", False):
        given = ask(queries)
    elif (starts := getattr(predictor, "starts", None)) is not None:
        parts = parted(queries, starts(queries), here().count)
        given = [answer for part in here().of_each(ask(parts[here().place])) for answer in part]
    else:
        given = here().by_first(lambda: ask(queries))
    if len(given) != len(queries):
        raise MMBenchError(f"{name} gave {len(given)} answers to {len(queries)} queries")
    odd = next((answer for answer in given if not isinstance(answer, Answer | Failure)), None)
    if odd is not None:
        raise MMBenchError(
            f"{name} gives a {type(odd).__name__} where it must give an Answer or a Failure (of "
            "mmbench.task): was it made for an earlier mmbench?"
        )
    return Answered(given)


def parted(queries: Sequence[T], starts: Sequence[int], count: int) -> list[Sequence[T]]:
    """Queries in so many parts, one behind the other, about as long.

    Args:
        starts: the places that a part may begin at.

    >>> parted("abcdefg", [0, 2, 4, 6], 3)
    ['ab', 'cd', 'efg']
    """
    places = [0, *starts, len(queries)]
    wanted = (len(queries) * part / count for part in range(count + 1))
    cuts = [min(places, key=lambda place: abs(place - cut)) for cut in wanted]
    return [queries[start:end] for start, end in pairwise(cuts)]


def _counted(
    given: Iterable[Answer | Failure], advanced: Callable[[int], None]
) -> Iterator[Answer | Failure]:
    for answer in given:
        advanced(1)
        yield answer
