"""The record of a probe, or of a classification by names: made of its result, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmbench import registry
from mmbench.experiments.labelled import Labelled, LabelledResult
from mmbench.experiments.probed_model import ProbedCheckpoint
from mmbench.records.environment import environment
from mmbench.records.probe_record import (
    GainEntry,
    ProbeAsked,
    ProbeEntry,
    ProbeRecord,
    write_probe,
)
from mmbench.training.device import device_name

if TYPE_CHECKING:
    import torch


def right_digits(answers: Sequence[str], labels: Sequence[str]) -> str:
    """What `ProbeEntry.right` keeps: for each sample 1 where it is answered rightly.

    >>> right_digits(["red", "blue"], ["red", "green"])
    '10'
    """
    return "".join("1" if a == b else "0" for a, b in zip(answers, labels, strict=True))


def keep_probe(
    out: str | Path,
    kind: Literal["linear", "zero_shot"],
    result: LabelledResult,
    found: ProbedCheckpoint,
    parts: Mapping[str, Labelled],
    device: torch.device,
    entries: Sequence[ProbeEntry],
    gains: Sequence[GainEntry] = (),
    *,
    seed: int | None = None,
    prompts: Sequence[str] = (),
) -> Path:
    """Write the record below `out`; its folder.

    Args:
        kind, entries, gains, seed, prompts: see `mmbench.records.probe_record`.
        result, found: what was found of which checkpoint.
        parts: what was read, by split.
        device: that it was computed on.
    """
    given = parts[result.split]
    _, groups = np.unique(np.asarray(given.groups), return_inverse=True)
    record = ProbeRecord(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=found.model,
        encoder=result.encoder,
        asked=ProbeAsked(
            kind=kind,
            weights=result.weights,
            dataset=result.dataset,
            split=result.split,
            fingerprints={name: part.fingerprint for name, part in parts.items()},
            target=result.target,
            modality=result.modality,
            seed=seed,
            prompts=list(prompts),
        ),
        classes=result.classes,
        samples={name: len(part.labels) for name, part in parts.items()},
        majority=result.majority,
        signature=registry.load("metrics", "accuracy")().signature,
        entries=list(entries),
        gains=list(gains),
        groups=groups.tolist(),
        environment=environment(str(device), device_name(device)),
    )
    return write_probe(Path(out), record)
