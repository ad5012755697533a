"""`probe.json`: the record of a linear probe, or of a classification by names.

<root>/probe/<dataset>/<target>/<model>/<hash8>/probe.json

Beside its values it keeps which samples each classifier was right on, and their groups, so that
they can be checked, and probes of the same samples compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mmbench.errors import MMBenchError
from mmbench.recipe import digest
from mmbench.records.names import safe_name
from mmbench.records.record import Environment, RecordPart, content_digest
from mmbench.records.store import read_value, validated
from mmbench.records.writing import writing_to

PROBE_FILE = "probe.json"
PROBE_FOLDER = "probe"
_VERSION = 1
_CLOSE = 1e-9


class ProbeAsked(RecordPart):
    """What decides the values of a probe: its identity.

    Attributes:
        kind: a classifier that is fitted, or names in prompts.
        weights: SHA-256 of the checkpoint.
        fingerprints: by split that is read, of its content.
        target, modality: what is told of what.
        seed: of the random weights; None where there are none.
        prompts: of a classification by names.
    """

    kind: Literal["linear", "zero_shot"]
    weights: str
    dataset: str
    split: str
    fingerprints: dict[str, str]
    target: str
    modality: str
    seed: int | None = None
    prompts: list[str] = []

    @property
    def hash(self) -> str:
        """SHA-256."""
        return digest(self.model_dump(mode="json"))


class ProbeEntry(RecordPart):
    """How well one classifier does.

    Attributes:
        features: whose: "encoder", "random", "raw"; of names "names".
        about: what these are.
        width: how many features there are; None of names.
        penalty: that was chosen on validation; None where nothing is fitted.
        accuracy: with its 95% interval over groups.
        right: a digit for each sample, 1 where it is right.
    """

    features: str
    about: str
    width: int | None = None
    penalty: float | None = None
    accuracy: float
    low: float
    high: float
    right: str


class GainEntry(RecordPart):
    """How much more the encoder's features know than others.

    Attributes:
        over: than which.
        difference: of the accuracies, with its 95% interval over groups, paired.
        p_value: two-sided.
    """

    over: str
    difference: float
    low: float
    high: float
    p_value: float


class ProbeRecord(RecordPart):
    """A probe, as its file has it.

    Attributes:
        schema_version: of this layout.
        created: when.
        model: the name of the checkpoint's recipe.
        encoder: the checkpoint, as it was named.
        asked: what decides the values.
        classes: that are told apart.
        samples: by split, how many have the target.
        majority: accuracy of the class that is most frequent in training, or of names in the split.
        signature: of what measures accuracy.
        entries: a classifier each.
        gains: of the encoder's features over the others.
        groups: of each sample, the number of its group.
        environment: where it ran.
        content: SHA-256 of all else.
    """

    schema_version: int = _VERSION
    created: str
    model: str
    encoder: str
    asked: ProbeAsked
    classes: list[str]
    samples: dict[str, int]
    majority: float
    signature: str
    entries: list[ProbeEntry]
    gains: list[GainEntry] = []
    groups: list[int]
    environment: Environment
    content: str = ""

    def entry(self, features: str) -> ProbeEntry:
        """Of these features."""
        return next(entry for entry in self.entries if entry.features == features)


def write_probe(root: Path, record: ProbeRecord) -> Path:
    """Write a record below `root`, in place of the one of the same probe.

    Returns: its folder.
    Raises: MMBenchError if the disk does not take it.
    """
    names = (record.asked.dataset, record.asked.target, record.model)
    folder = root.joinpath(PROBE_FOLDER, *map(safe_name, names), record.asked.hash[:8])
    value = record.model_dump(mode="json")
    text = json.dumps(value | {"content": content_digest(value)}, indent=1, allow_nan=False)
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f".{PROBE_FILE}.{os.getpid()}"
        try:
            made.write_text(text + "\n", encoding="utf-8")
            os.replace(made, folder / PROBE_FILE)
        finally:
            made.unlink(missing_ok=True)
    return folder


def read_probe(folder: Path) -> ProbeRecord:
    """The record in a folder, checked against its own hash and what it keeps of the samples.

    Raises: MMBenchError if there is none, it was changed, or its values are not those of its
        samples.
    """
    file = folder / PROBE_FILE
    value = read_value(file)
    if value.get("schema_version") != _VERSION:
        raise MMBenchError(f"{file} is of another version of mmbench: probe again")
    record = validated(ProbeRecord, value, file)
    if record.content != content_digest(value):
        raise MMBenchError(f"{file} was changed after the probe")
    for entry in record.entries:
        if len(entry.right) != len(record.groups) or not set(entry.right) <= {"0", "1"}:
            raise MMBenchError(f"{file}: {entry.features} does not say of each sample what came")
        found = entry.right.count("1") / len(entry.right)
        if abs(found - entry.accuracy) > _CLOSE:
            raise MMBenchError(
                f"{file}: accuracy of {entry.features} is {entry.accuracy}, but its samples give "
                f"{found}"
            )
    return record


def find_probes(paths: Iterable[Path]) -> list[Path]:
    """The folders of all records of probes at or below the paths, sorted."""
    found: set[Path] = set()
    for path in paths:
        for here, folders, files in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            if PROBE_FILE in files:
                found.add(Path(here))
    return sorted(found)
