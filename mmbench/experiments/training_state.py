"""What is kept of a training until its record is whole, and what is found of earlier ones.

A training that was cut off goes on where it was when the same run is asked for again, since it
ends as it would have: to the bit. `force` starts anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmbench.records.store import RUN_FILE
from mmbench.records.writing import writing_to
from mmbench.training import STATE_FILE

_SETTINGS_FILE = "settings.json"
_SHOWN = 3  # settings that differ
_SETTINGS_STAY = (
    "it cannot go on with other settings: all of a training, such as its learning rates, is made "
    "for the settings that it began with."
)

Says = Callable[[str], None]


class TrainingState:
    """The folder beside a record in which the state of its training is kept.

    Args:
        folder: of the record; it must be held (`mmbench.records.locks`).
    """

    def __init__(self, folder: Path) -> None:
        self.record = folder
        self.path = folder.parent / f".{folder.name}.training"

    def exists(self) -> bool:
        """Whether at least one epoch of a training is kept."""
        return any(self.path.rglob(STATE_FILE))

    def open(
        self, title: str, recipe: Mapping[str, Any], *, resume: bool, force: bool, says: Says
    ) -> None:
        """Make the folder ready for a training that begins, or goes on with what it holds.

        Args:
            title: what a line calls the run.
            recipe: its resolved settings.
            resume: whether it was asked to go on: says so if there is nothing to go on with.
            force: whether it was asked to begin anew; `resume` comes first.
            says: called with lines that a user should know.
        Raises: MMBenchError if the folder cannot be written.
        """
        kept = self.exists()
        if kept and force and not resume:
            says(f"{title} begins anew, as --force asks: its training that was cut off is dropped")
            kept = False
        if not kept and not resume and (cut := self._cut_off(recipe)):
            says(f"{title} begins anew. {cut}; {_SETTINGS_STAY}")
        if resume and not kept:
            says(f"nothing to go on with: {title} begins anew.{self._of_other_settings(recipe)}")
        with writing_to(self.path):
            if not kept:
                shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / _SETTINGS_FILE).write_text(json.dumps(recipe), encoding="utf-8")

    def close(self) -> None:
        """Drop the folder if it holds nothing that could be gone on with."""
        if not self.exists():
            self.drop()

    def drop(self) -> None:
        """Drop the folder: the record is whole."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _of_other_settings(self, recipe: Mapping[str, Any]) -> str:
        """In words, the training of this model and seed that is most like this one, if any."""
        model = self.record.parent.parent
        found: list[tuple[int, str]] = []
        for file in model.glob(f"*/.{self.record.name}.training/{_SETTINGS_FILE}"):
            found.append(_difference(recipe, _read(file), "was cut off"))
        for file in model.glob(f"*/{self.record.name}/{RUN_FILE}"):
            record = _read(file)
            if record.get("training"):
                found.append(_difference(recipe, record.get("recipe"), "is whole"))
        if not found:
            return ""
        return f" {min(found)[1]}. {_SETTINGS_STAY[:1].upper()}{_SETTINGS_STAY[1:]}"

    def _cut_off(self, recipe: Mapping[str, Any]) -> str:
        """In words, the training in stages of this model and seed that was cut off, if any."""
        model = self.record.parent.parent
        files = [*model.glob(f"*/.{self.record.name}.training/{_SETTINGS_FILE}")]
        begun = [_read(file) for file in files if any(file.parent.rglob(STATE_FILE))]
        found = [
            _difference(recipe, other, "was cut off") for other in begun if other.get("stages")
        ]
        return min(found)[1] if found else ""


def any_kept(folders: Iterable[Path]) -> bool:
    """Whether a training that was cut off is kept in one of these folders, or below."""
    return any(
        any(found.rglob(STATE_FILE)) for folder in folders for found in folder.rglob(".*.training")
    )


def _difference(recipe: Mapping[str, Any], other: Any, how: str) -> tuple[int, str]:
    """How many settings differ, and a sentence that names the first."""
    here, there = _flat(recipe), _flat(other if isinstance(other, dict) else {})
    keys = [key for key in here | there if here.get(key) != there.get(key)]
    shown = [f"{key}={there.get(key)} (here {here.get(key)})" for key in keys[:_SHOWN]]
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    what = f"with {', '.join(shown)}{more}" if keys else "on other data, or scored otherwise,"
    return len(keys), f"A training {what} {how}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """By dotted key; entries of a list that have names, as stages do, by these."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, list) and value and all(_name(entry) for entry in value):
            flat[f"{prefix}{key}"] = ", ".join(entry["name"] for entry in value)
            value = {entry["name"]: entry for entry in value}
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _name(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _read(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one if it cannot be read, since it only serves a hint."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
