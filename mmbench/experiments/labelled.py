"""What of a dataset has an attribute: what probes and zero-shot classification are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbench import registry
from mmbench.data.dataset import DatasetSpec, tasks_of
from mmbench.data.splits import first_kind, load_split, reader_of
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.statistics.measured import Measured, measure
from mmbench.task import Task


@dataclass(frozen=True)
class Labelled:
    """What of a split has the target.

    Attributes:
        values: of the modality, as an encoder reads them.
        labels: of the target.
        groups: of the samples.
        fingerprint: of the content of the whole split.
    """

    values: Sequence[Any]
    labels: Sequence[str]
    groups: Sequence[str]
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class LabelledResult:
    """What was asked of the encoders of a checkpoint, which the answer stands beside.

    Attributes:
        encoder: the checkpoint, as it was named.
        weights: SHA-256 of its file.
        dataset, split, target, modality: what was asked.
        classes: the values of the target that are told apart.
        majority: accuracy of the class that is most frequent.
        path: the folder of its record; None where none was asked for.
    """

    encoder: str
    weights: str
    dataset: str
    split: str
    target: str
    modality: str
    classes: list[str]
    majority: float
    path: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def accuracy(answers: list[str], given: Labelled, name: str) -> Measured:
    """How many of the samples are answered rightly, by their groups.

    Args:
        answers: a label for each.
        name: what is measured.
    """
    metric = registry.load("metrics", "accuracy")()
    statistics = metric.statistics(answers, list(given.labels))
    _, groups = np.unique(np.asarray(given.groups), return_inverse=True)
    return measure(name, metric, {0: statistics}, groups)


def labelled(spec: DatasetSpec, split: str, target: str, modality: str) -> Labelled:
    """What of a split has a target and a modality.

    Raises: MMBenchError if nothing has, or the split does not exist.
    """
    kind = first_kind(spec, split)
    if spec.layout is not None and split in spec.splits:
        reader = reader_of(spec, spec.splits[split].of or split)
        if "captions" in reader.kinds and not hasattr(reader, "columns"):
            kind = "captions"
        if "attributes" in type(reader).model_fields:  # told only to those who ask
            layout = spec.layout.model_copy(update={"attributes": True})
            spec = spec.model_copy(update={"layout": layout})
    data = load_split(spec, split, kind)
    rows = data.rows.to_list()
    if target not in rows[0]:
        others = [name for name in rows[0] if not name.endswith("_row") and name != "row"]
        raise MMBenchError(
            f"{spec.name} knows no attribute '{target}' of its samples."
            f"{did_you_mean(target, others)} It knows {', '.join(others)}."
        )
    chosen = [row for row in rows if row[target] is not None]
    if odd := next((row[target] for row in chosen if not isinstance(row[target], str | int)), None):
        raise MMBenchError(f"{target} of {spec.name} is no class, but {type(odd).__name__}")
    if not chosen:
        raise MMBenchError(f"no sample of {spec.name}, split {split}, has a {target}")
    if modality != "text" and modality not in data.media:
        raise MMBenchError(
            f"{spec.name} has no {modality}: it has {', '.join([*data.media, 'text'])}. "
            "Name one of them as --modality"
        )
    texts = [row.get("text") or (row.get("captions") or [""])[0] for row in chosen]
    media = [data.inputs(row) for row in chosen]
    if modality != "text" and any(isinstance(found[modality], tuple) for found in media):
        raise MMBenchError(f"a probe reads one {modality} a sample, and {spec.name} has several")
    return Labelled(
        values=texts if modality == "text" else [found[modality] for found in media],
        labels=[str(row[target]) for row in chosen],
        groups=[str(row["group"]) for row in chosen],
        fingerprint=data.fingerprint,
    )


def labelled_dataset(
    name: str, task: Task, data_dir: str | Path | None, skip_bad: bool
) -> DatasetSpec:
    """A dataset, as this task sees it if it is for that, else as its first one does."""
    known = tasks_of(name)
    whose = task if task.name in known else registry.load("tasks", known[0])()
    spec: DatasetSpec = whose.dataset(name, data_dir, skip_bad)
    return spec
