"""`robustness.npz`: what a model did under damage, kept beside the record of its run.

Of every condition the primary metric's statistics (N, k) of the record's samples, in their order,
or its bootstrap replicates where the record keeps those. One file, sealed by a hash of all that is
in it and written anew, whole, after every condition, so that a computation that was cut off goes on
after its last one. The record itself is never touched.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mmbench.errors import MMBenchError
from mmbench.recipe import digest
from mmbench.records.arrays_file import packed, unpacked
from mmbench.records.record import Environment, Record, RecordPart
from mmbench.records.statistics_file import smallest
from mmbench.records.store import WEIGHTS_FILE
from mmbench.records.writing import writing_to
from mmbench.statistics.bootstrap import FloatArray

ROBUSTNESS_FILE = "robustness.npz"
_VERSION = 1
_STATISTICS = "statistics/"
_REPLICATES = "replicates/"


class ConditionEntry(RecordPart):
    """A condition and what came of it.

    Attributes:
        corruption, modality, level, of, amount, version: see `mmbench.corruptions.conditions`.
        value: the metric's, unscaled.
        notes: what a reader of the value should know.
    """

    corruption: str
    modality: str
    level: int
    of: int
    amount: float
    version: int | str
    value: float
    notes: list[str] = []


class Made(RecordPart):
    """What decides the numbers of a file besides the conditions.

    Attributes:
        run, seed: the hash of the run's identity, and its seed.
        weights: SHA-256 of the file of its weights.
        samples: a digest of the samples, as the record's statistics have it.
        metric: the signature of what is measured.
        draws: the seed of the damage.
    """

    run: str
    seed: int
    weights: str
    samples: str
    metric: str
    draws: int


class Robustness(RecordPart):
    """All that the file says but the arrays.

    Attributes:
        schema_version: of this layout.
        made: what decides the numbers.
        conditions: those that are done, by key.
        environment: versions and device of the last that was done.
        content: SHA-256 of all else in the file, arrays included.
    """

    schema_version: int = _VERSION
    made: Made
    conditions: dict[str, ConditionEntry] = {}
    environment: Environment | None = None
    content: str = ""


class RobustnessFile:
    """The file of a run, in memory.

    Args:
        about: what it says.
        statistics, replicates: by condition's key, (N, k) or (R,).
    """

    def __init__(
        self,
        about: Robustness,
        statistics: Mapping[str, FloatArray] | None = None,
        replicates: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self.about = about
        self.statistics = dict(statistics or {})
        self.replicates = dict(replicates or {})

    def add(
        self,
        key: str,
        entry: ConditionEntry,
        statistics: FloatArray | None,
        replicates: FloatArray | None,
        environment: Environment,
    ) -> None:
        """Put a condition in, in place of what stood there."""
        conditions = {**self.about.conditions, key: entry}
        changes = {"conditions": conditions, "environment": environment}
        self.about = self.about.model_copy(update=changes)
        for kept, values in ((self.statistics, statistics), (self.replicates, replicates)):
            kept.pop(key, None)
            if values is not None:
                kept[key] = values

    def of(self, keys: Collection[str]) -> RobustnessFile:
        """What it holds of these conditions, to be read."""
        conditions = {key: e for key, e in self.about.conditions.items() if key in keys}
        about = self.about.model_copy(update={"conditions": conditions})
        return RobustnessFile(about, self.statistics, self.replicates)

    def write(self, folder: Path) -> None:
        """Write it into a record's folder, whole or not at all.

        Raises: MMBenchError if the disk does not take it.
        """
        arrays: dict[str, npt.NDArray[Any]] = {
            _STATISTICS + key: smallest(values) for key, values in self.statistics.items()
        }
        arrays |= {_REPLICATES + key: values for key, values in self.replicates.items()}
        about = self.about.model_dump(mode="json")
        about["content"] = _content(about, arrays)
        content = packed(arrays, about)
        with (
            writing_to(folder),
            tempfile.NamedTemporaryFile(
                dir=folder, prefix=f".{ROBUSTNESS_FILE}", delete=False
            ) as file,
        ):
            try:
                file.write(content)
                file.close()
                os.chmod(file.name, 0o644)
                os.replace(file.name, folder / ROBUSTNESS_FILE)
            finally:
                Path(file.name).unlink(missing_ok=True)


def read_robustness(folder: Path) -> RobustnessFile | None:
    """What a record's folder holds of it, checked; None if there is nothing.

    Raises: MMBenchError if it cannot be read, or is not what was written.
    """
    path = folder / ROBUSTNESS_FILE
    if not path.exists():
        return None
    again = "delete it to have it made anew"
    try:
        arrays, about = unpacked(path)
    except MMBenchError as error:
        raise MMBenchError(f"{path} cannot be read ({error}): {again}") from None
    try:
        if about["schema_version"] != _VERSION:
            raise MMBenchError(f"{path} is of another version of mmbench: {again}")
        if about["content"] != _content(about, arrays):
            raise MMBenchError(f"{path} was changed after it was written: {again}")
        return RobustnessFile(
            Robustness.model_validate(about),
            {
                name.removeprefix(_STATISTICS): values.astype(np.float64)
                for name, values in arrays.items()
                if name.startswith(_STATISTICS)
            },
            {
                name.removeprefix(_REPLICATES): values
                for name, values in arrays.items()
                if name.startswith(_REPLICATES)
            },
        )
    except (ValidationError, LookupError, TypeError, ValueError) as error:
        raise MMBenchError(f"{path} cannot be read ({type(error).__name__}): {again}") from None


def made_of(record: Record, samples: str, draws: int) -> Made:
    """What decides the numbers that a record's file holds.

    Args:
        samples: the digest of its samples.
        draws: the seed of the damage.
    """
    weights = record.files.get(WEIGHTS_FILE) or record.weights.sha256 or ""
    return Made(
        run=record.hash,
        seed=record.seed,
        weights=weights,
        samples=samples,
        metric=record.primary.signature,
        draws=draws,
    )


def _content(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of what the file says and holds."""
    rest = {key: value for key, value in about.items() if key != "content"}
    found = {
        name: [str(a.dtype), list(a.shape), hashlib.sha256(a.tobytes()).hexdigest()]
        for name, a in arrays.items()
    }
    return digest([rest, found])
