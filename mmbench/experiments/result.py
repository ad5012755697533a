"""What a run or a scoring leaves in the caller's hands: its record, and the files beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.experiments.shown import Shown
from mmbench.records.record import Record
from mmbench.records.statistics_file import Statistics, read_statistics
from mmbench.records.store import PREDICTIONS_FILE, STATISTICS_FILE
from mmbench.records.verification import verified

if TYPE_CHECKING:
    import pandas as pd


FAILURE = "failure"  # the column that says why a sample has no prediction

_COMPRESSION = 15  # of zstd: half of what Parquet takes by default, at a few milliseconds


@dataclass(frozen=True, repr=False)
class RunResult(Shown):
    """A run's record and where it lies.

    Attributes:
        record: what `run.json` holds.
        path: the record's folder.
        reused: whether it was there before.
    """

    record: Record
    path: Path
    reused: bool

    @property
    def value(self) -> float:
        """The primary metric over all samples, unscaled."""
        return self.record.primary.value

    def to_frame(self) -> pd.DataFrame:
        """A row a metric and category: value, interval, samples, signature."""
        import pandas as pd

        rows = []
        for entry in self.record.metrics:
            row = entry.model_dump(exclude={"interval"}) | {"category": entry.category or "all"}
            interval = entry.interval
            row |= {"low": interval.low, "high": interval.high} if interval else {}
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def has_predictions(self) -> bool:
        """Whether its answers lie with its record, which may have been kept without them."""
        return (self.path / PREDICTIONS_FILE).exists()

    def predictions(self) -> pd.DataFrame:
        """A row a sample: id, group, category, its text, target, prediction, metrics.

        Where queries failed, `failure` says why, and they have no prediction.
        """
        return self.predictions_in(self.path)

    @staticmethod
    def predictions_in(folder: Path) -> pd.DataFrame:
        """As `predictions`, of the record in a folder."""
        import pandas as pd

        if not (folder / PREDICTIONS_FILE).exists():
            raise MMBenchError(
                f"{folder} has no {PREDICTIONS_FILE}: its record was kept without its answers. "
                "The same run with --force makes them anew"
            )
        try:
            table = pd.read_parquet(folder / PREDICTIONS_FILE)
        except (OSError, ValueError) as error:
            raise MMBenchError(f"{folder / PREDICTIONS_FILE} cannot be read: {error}") from None
        table["target"] = [_plain(target) for target in table["target"]]
        return table

    def statistics(self) -> Statistics:
        """What the record keeps per sample: every metric's statistics, groups, categories."""
        return read_statistics(self.path / STATISTICS_FILE)


def _plain(target: Any) -> Any:
    """A target as it was before it went into a Parquet file, which makes lists arrays."""
    return target.tolist() if isinstance(target, np.ndarray) else target


def load_run(path: str | Path) -> RunResult:
    """The result of an earlier run from its record's folder.

    Raises: MMBenchError if there is no record, or it was changed after its run.
    """
    folder = Path(path)
    if not folder.exists():
        raise MMBenchError(f"no record at {folder}: there is no such folder")
    folder = folder.parent if folder.is_file() else folder
    return RunResult(verified(folder), folder, reused=True)


def predictions_file(
    samples: Sequence[Sample],
    table: Mapping[str, Sequence[Any]],
    statistics: Mapping[str, Any],
    failures: Mapping[int, str] | None = None,
) -> bytes:
    """The Parquet file of all answers, with the value per sample of metrics that have one.

    Args:
        samples: that were asked.
        table: columns of targets and predictions, from `Task.table`: a row for each sample, or for
            each that was answered.
        statistics: by metric, (N, k) of these.
        failures: by place among the samples, why one was not answered.
    """
    import pandas as pd

    failed = failures or {}
    answered = [place for place in range(len(samples)) if place not in failed]

    def spread(values: Sequence[Any], empty: Any = None) -> list[Any]:
        """A value for each sample, from those of the answered ones."""
        if len(values) == len(samples):
            return list(values)
        found = [empty] * len(samples)
        for place, value in zip(answered, values, strict=True):
            found[place] = value
        return found

    columns: dict[str, Any] = {
        "id": [sample.id for sample in samples],
        "group": [sample.group for sample in samples],
        "category": [sample.category for sample in samples],
        "text": [sample.inputs.get("text") for sample in samples],
    }
    columns |= {name: spread(values) for name, values in table.items()}
    if failed:
        columns[FAILURE] = [failed.get(place) for place in range(len(samples))]
    for name, values in statistics.items():
        if values.shape[1] == 1 and len(values) == len(answered):
            columns[name] = np.array(spread(values[:, 0], np.nan))
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(
        buffer, index=False, compression="zstd", compression_level=_COMPRESSION
    )
    return buffer.getvalue()
