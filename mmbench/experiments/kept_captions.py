"""Captions that a stage bootstraps: made once, kept beside the state of its training.

A training that was cut off goes on with the same ones without writing them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from mmbench.data.sample import Sample, SampleSet
from mmbench.model import TaskModel
from mmbench.records.writing import writing_to
from mmbench.training.bootstrapping import Kept, bootstrapped

_FILE = "captions.json"


def kept_captions(
    model: TaskModel,
    samples: SampleSet,
    right: Sequence[Sample],
    device: torch.device,
    folder: Path,
) -> tuple[SampleSet, Kept]:
    """What a stage learns from: see `mmbench.training.bootstrapping.bootstrapped`.

    Args:
        folder: of the stage's state.
    Raises: MMBenchError if no caption is kept, or the folder cannot be written.
    """
    file = folder / _FILE
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        captions = found["captions"]
        made = [replace(s, target=captions[s.id]) for s in samples if s.id in captions]
        whole = replace(samples, samples=made, fingerprint=found["fingerprint"])
        return whole, Kept(**found["kept"])
    whole, kept = bootstrapped(model, samples, right, device)
    content = {
        "fingerprint": whole.fingerprint,
        "kept": asdict(kept),
        "captions": {sample.id: sample.target for sample in whole},
    }
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made_file = file.with_suffix(".part")
        made_file.write_text(json.dumps(content), encoding="utf-8")
        os.replace(made_file, file)
    return whole, kept
