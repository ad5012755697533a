"""Queries that failed: what is said of them, and when a score of the others is not shown.

A failure is no answer, so that it is not scored as a wrong one: the score is of the samples that
were answered. What it could be at worst and at best, had the others been answered too, is said
beside it where the metric is a mean of bounded values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.records.record import MetricEntry, Record

if TYPE_CHECKING:
    from mmbench.metrics.base import Metric

MOST_FAILED = 0.01  # share of the queries that may fail before a score is not shown unasked
_NAMED = 3  # reasons


def check_failed(record: Record, folder: Path, allowed: bool) -> None:
    """Refuse to show the scores of a record of which too much failed.

    Args:
        folder: where the record lies.
        allowed: whether they are shown all the same.
    Raises: MMBenchError that says how many failed and why, and what is kept.
    """
    if allowed or record.unanswered_count <= MOST_FAILED * record.samples:
        return
    answered = record.samples - record.unanswered_count
    raise MMBenchError(
        f"{record.model} failed at {failed_words(record)}, which is more than {MOST_FAILED:.0%}: "
        f"no score is shown. The {answered:,} answers are kept in {folder}: the same run asks for "
        "the others again, and --allow-failed shows the score of these alone"
    )


def check_can_be_scored(
    model: str, task: str, by_sample: bool, reasons: Mapping[str, int], queries: int
) -> None:
    """Refuse what cannot be scored at all: no answers, or a task that needs all of them.

    Args:
        by_sample: see `Task.answers_by_sample`.
        reasons: by reason, how many failed of so many queries.
    """
    failed = sum(reasons.values())
    if failed == queries:
        raise MMBenchError(
            f"{model} failed at all {queries:,} queries ({_reasons(reasons)}): there is nothing to "
            "score"
        )
    if failed and not by_sample:
        raise MMBenchError(
            f"{model} failed at {failed:,} of {queries:,} queries ({_reasons(reasons)}), and "
            f"{task} needs an answer to each, since each is looked for among all: run it again"
        )


def failed_words(record: Record) -> str:
    """How many queries of a record failed, and why: "3 of 200 queries (1.5%; 3 HTTP 500)"."""
    failed = record.unanswered_count
    share = 100 * failed / record.samples
    reasons = _reasons(record.unanswered)
    return f"{failed:,} of {record.samples:,} queries ({share:.2g}%; {reasons})"


def failure_notes(records: Iterable[Record]) -> list[str]:
    """Of each record with failures, which run it is of, how many there are, and the bounds."""
    return [
        "; ".join(filter(None, [f"{r.model} seed {r.seed} failed at {failed_words(r)}", bounds]))
        for r in records
        if r.unanswered
        for bounds in [bounds_words(r)]
    ]


def bounds_words(record: Record) -> str:
    """What the first metric would be at worst and at best, had no query failed; "" if unknown."""
    first = record.metrics[0] if record.metrics else None
    ends = bounds_of(first, record.unanswered_count) if first else None
    if first is None or ends is None:
        return ""
    low, high = (f"{end * first.scale:.2f}" for end in ends)
    worst, best = (low, high) if first.higher_is_better else (high, low)
    return f"{first.name} is {worst} if all of them are wrong and {best} if all are right"


def bounds_of(entry: MetricEntry, failed: int) -> tuple[float, float] | None:
    """The lowest and highest value over all samples, whatever the failed ones would have been.

    Returns: None for a metric that is not a mean of a bounded value per sample, or not known here.
    """
    if not registry.has("metrics", entry.name):
        return None
    from mmbench.metrics.base import MeanMetric  # imports numpy, which a record is shown without

    metric: Metric = registry.load("metrics", entry.name)()
    if not isinstance(metric, MeanMetric) or metric.signature != entry.signature:
        return None
    if not all(map(isfinite, metric.bounds)):
        return None
    whole = entry.samples + failed
    low, high = ((entry.value * entry.samples + bound * failed) / whole for bound in metric.bounds)
    return low, high


def _reasons(reasons: Mapping[str, int]) -> str:
    """The most frequent ones, with their numbers."""
    shown = [f"{count:,} {reason}" for reason, count in list(reasons.items())[:_NAMED]]
    if (more := len(reasons) - _NAMED) > 0:
        shown.append(f"and {more} more reasons")
    return ", ".join(shown)
