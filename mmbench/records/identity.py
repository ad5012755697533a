"""The identity of a run: everything that decides its predictions, as plain JSON, and its hash.

Two runs of one identity and seed give the same predictions on a machine of the same kind; what
cannot change predictions is not part of it. Settings enter only where they differ from the value
that their field had when it was added (frozen beside the field), so that a changed default moves
the hash and a field that is added later, with a default, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from mmbench.json_values import storable
from mmbench.recipe import digest


class Identity(BaseModel):
    """What decides a run's predictions, but the seed, which names the folder below.

    Attributes:
        task, dataset, split, limit: what is asked.
        fingerprint: of the content of the whole split.
        data: what the dataset's file sets for its task: options and categories.
        settings: by dotted key, the resolved recipe's settings that differ from what they were
            when they were added; those of training only where something is trained.
        parts: by kind and name, the version of mmbench's own task, parts and training, and a hash
            of the source of anyone else's.
        weights: SHA-256 of the file they are read from; "trained", "none", or for predictions
            that were only scored here "elsewhere".
        fitted_on: by split, the fingerprint of what it learns from; of a stage that is trained on
            other samples by stage and split (`align.train`).
        init: SHA-256 of the checkpoint whose parts its training begins from; None from nothing.
        chosen_by: the signature of what chooses the epoch; None where nothing is trained.
        device: the kind that it is trained on, since bf16 on CUDA is another result; None where
            nothing is trained.
        threads: of the CPU that it is trained with, where a number was asked for: sums that are
            split otherwise differ in their last bits. On a GPU it decides nothing.
        compiled: whether it is trained compiled, which adds up in another order; None if not.
        processes: that train it together, each of which draws (dropout) by itself, and adds up its
            own share; None where one does.
        predictions: SHA-256 of a file of predictions from elsewhere.
        joint: of a run whose weights are trained on several tasks at once, by task what else they
            learn from: its dataset, data, settings, parts and what it is fitted on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    dataset: str
    split: str
    limit: int | None = None
    fingerprint: str
    data: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    parts: dict[str, int | str] = {}
    weights: str
    fitted_on: dict[str, str] = {}
    init: str | None = None
    chosen_by: str | None = None
    device: str | None = None
    threads: int | None = None
    compiled: bool | None = None
    processes: int | None = None
    predictions: str | None = None
    joint: dict[str, dict[str, Any]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return storable(value)

    @property
    def hash(self) -> str:
        """SHA-256 of its canonical JSON, as hexadecimal digits.

        What is empty takes no part, so that a key added later leaves the hashes of before.
        """
        return digest(
            {k: v for k, v in self.model_dump(mode="json").items() if v not in ({}, None)}
        )


def differences(ours: Identity, other: Identity) -> list[str]:
    """What differs, a line each in words, with the value of `ours` first.

    >>> a = Identity(task="vqa", dataset="d", split="test", fingerprint="1", weights="none")
    >>> differences(a, a.model_copy(update={"fingerprint": "2"}))
    ['fingerprint: 1, not 2']
    """
    a, b = (_flat(i.model_dump(mode="json")) for i in (ours, other))
    lines = []
    for key in dict.fromkeys([*a, *b]):
        if a.get(key) != b.get(key):
            lines.append(f"{key}: {_words(key, a)}, not {_words(key, b)}")
    return lines


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[prefix + key] = value
    return flat


def _words(key: str, values: Mapping[str, Any]) -> str:
    """A value; what an absent one means: a setting that is not there is as it was when added."""
    if key in values:
        return str(values[key])
    return "as it was when added" if key.startswith("settings.") else "none"
