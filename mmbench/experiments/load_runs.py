"""All records below a folder as one frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.data.checks import first_reasons
from mmbench.errors import MMBenchError
from mmbench.experiments.result import load_run
from mmbench.records.record import Record
from mmbench.records.store import find_records

if TYPE_CHECKING:
    import pandas as pd


def load_runs(paths: str | Path | Sequence[str | Path] = "results") -> pd.DataFrame:
    """All records at or below the paths as one frame, a row a metric and category of each.

    A record that cannot be read, or was changed after its run, is left out with a UserWarning that
    names it and says why.

    Args:
        paths: folders of records, searched at any depth, or records.
    Returns: the run (task, dataset, split, model, seed, hash, weights), what was changed of its
        recipe (overrides), the value, unscaled (metric, category, value, low, high, samples,
        signature), what it cost (parameters, flops_per_sample, training_seconds, latency_p50 in
        seconds, samples_per_second) and its folder (path, for `load_run`).
    Raises: MMBenchError if there is no record there that can be read.
    """
    import pandas as pd

    listed = [paths] if isinstance(paths, str | Path) else paths
    left_out: list[str] = []
    rows: list[dict[str, Any]] = []
    folders = find_records([Path(p) for p in listed], lambda _, why: left_out.append(why))
    for folder in folders:
        try:
            rows += _rows(load_run(folder).record, folder)
        except MMBenchError as error:
            left_out.append(str(error))
    if not rows:
        raise MMBenchError(f"no record there can be read: {first_reasons(left_out)}")
    for reason in left_out:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return pd.DataFrame(rows)


def _rows(record: Record, folder: Path) -> list[dict[str, Any]]:
    run = {name: getattr(record, name) for name in ("task", "dataset", "split", "model", "seed")}
    run |= {
        "hash": record.hash[:8],
        "weights": record.weights.source,
        "overrides": ", ".join(f"{key}={value}" for key, value in record.overrides.items()),
    }
    training, inference = record.training, record.inference
    cost = {
        "parameters": sum(record.parameters.values()),
        "flops_per_sample": record.flops_per_sample,
        "training_seconds": training.seconds if training else None,
        "latency_p50": inference.latency_p50 if inference else None,
        "samples_per_second": inference.samples_per_second if inference else None,
        "path": str(folder),
    }
    return [
        run
        | {
            "metric": entry.name,
            "category": entry.category or "all",
            "value": entry.value,
            "low": entry.interval.low if entry.interval else None,
            "high": entry.interval.high if entry.interval else None,
            "samples": entry.samples,
            "signature": entry.signature,
        }
        | cost
        for entry in record.metrics
    ]
