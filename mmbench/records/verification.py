"""Whether a record is what was written: its own content, its files, and its values.

Every command that reads a record reads it through `verified`. `mmbench.experiments.rescore` goes
further back, to the stored predictions.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from pathlib import Path

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.metrics.base import Metric
from mmbench.metrics.called import metric_called
from mmbench.records.record import MetricEntry, Record, content_digest
from mmbench.records.statistics_file import Statistics, read_statistics
from mmbench.records.store import (
    PREDICTIONS_FILE,
    RUN_FILE,
    STATISTICS_FILE,
    WEIGHTS_FILE,
    read_record,
    read_value,
)

# They are large: whoever keeps many runs in git keeps the answers of a few.
_MAY_BE_ABSENT = (WEIGHTS_FILE, PREDICTIONS_FILE)
_CLOSE = 1e-9  # relative: sums in another order


def verified(folder: Path) -> Record:
    """The record in a folder, checked.

    Raises: MMBenchError naming what was changed or is missing: the record itself, one of its files,
        or a value that its statistics do not give.
    """
    record = read_record(folder)
    if record.content != content_digest(read_value(folder / RUN_FILE)):
        raise MMBenchError(f"{folder / RUN_FILE} was changed after the run")
    for name, expected in record.files.items():
        file = folder / name
        if not file.exists() and name in _MAY_BE_ABSENT:
            continue
        try:
            content = file.read_bytes()
        except OSError as error:
            raise MMBenchError(f"{file}: {error.strerror}, though {RUN_FILE} names it") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise MMBenchError(f"{file} was changed after the run: its hash is not the record's")
    if STATISTICS_FILE in record.files:
        _check_values(folder, record, read_statistics(folder / STATISTICS_FILE))
    elif PREDICTIONS_FILE in record.files:
        raise MMBenchError(
            f"{folder / RUN_FILE} names no {STATISTICS_FILE}: "
            f"`mmbench convert {shlex.quote(str(folder))}` makes it, or run it again"
        )
    return record


def _check_values(folder: Path, record: Record, statistics: Statistics) -> None:
    """Every value against the statistics that it is of, where its metric is known here."""
    metrics: dict[str, Metric | None] = {}
    for entry in record.metrics:
        if entry.name not in metrics:
            metrics[entry.name] = _known(entry)
        metric, values = metrics[entry.name], statistics.by_metric.get(entry.name)
        if metric is None or values is None:
            continue
        chosen = (
            values if entry.category is None else values[statistics.of_category(entry.category)]
        )
        found = metric.aggregate(chosen) if len(chosen) else math.nan
        if not math.isclose(found, entry.value, rel_tol=_CLOSE, abs_tol=_CLOSE):
            of = f" of {entry.category}" if entry.category else ""
            raise MMBenchError(
                f"{folder / RUN_FILE}: {entry.name}{of} is {entry.value}, but its statistics give "
                f"{found}: the record was changed after the run"
            )


def _known(entry: MetricEntry) -> Metric | None:
    """The metric, if it is defined here as it was for the record."""
    if not registry.has("metrics", entry.name):
        return None
    metric = metric_called(entry.name)
    return metric if metric.signature == entry.signature else None
