"""Which metrics a report shows: all, those that were asked for, or the few that a paper shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache

from mmbench import registry
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.records.record import MetricEntry, Record

STYLES = ("paper", "draft")


def wanted_metrics(
    records: Iterable[Record], metrics: Sequence[str] | None, style: str
) -> Callable[[Record, MetricEntry], bool]:
    """Says of a record's metric whether it is shown.

    Args:
        records: all that are reported.
        metrics: names that were asked for; the style's if None.
        style: "paper" shows the primary metric and what the task names for papers; "draft" all.
    Raises: MMBenchError for a name that no record has.
    """
    if metrics is not None:
        known = {entry.name for record in records for entry in record.metrics}
        for name in metrics:
            if name not in known:
                raise MMBenchError(
                    f"no record has a metric '{name}'.{did_you_mean(name, known)} They have "
                    f"{', '.join(sorted(known))}."
                )
        return lambda _, entry: entry.name in metrics
    if style == "draft":
        return lambda *_: True
    return lambda record, entry: (
        entry.name == record.primary.name
        or any(fnmatchcase(entry.name, pattern) for pattern in _of_papers(record.task))
    )


@cache
def _of_papers(task: str) -> tuple[str, ...]:
    if not registry.has("tasks", task):
        return ()
    patterns: tuple[str, ...] = registry.load("tasks", task).paper_metrics
    return patterns
