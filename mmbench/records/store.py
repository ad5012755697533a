"""The store of records: a folder a run, written whole or not at all, found again by hash.

<root>/<task>/<dataset>/<model>/<hash8>/seed-<k>/{run.json, predictions.parquet, ...}
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mmbench.errors import MMBenchError
from mmbench.json_values import not_finite
from mmbench.records.names import safe_name
from mmbench.records.record import SCHEMA_VERSION, Record, RecordPart
from mmbench.records.writing import (
    put_in_place,
    remove_leftovers,
    restore_stranded,
    stranded_name,
    temporary_prefix,
    writing_to,
)

Part = TypeVar("Part", bound=RecordPart)

RUN_FILE = "run.json"
PREDICTIONS_FILE = "predictions.parquet"
WEIGHTS_FILE = "weights.safetensors"
LOG_FILE = "log.jsonl"
STATISTICS_FILE = "statistics.npz"
TRIALS_MARK = ".trials"  # in a folder whose records are trials: no results, unless it is named


def record_folder(
    root: Path, task: str, dataset: str, model: str, run_hash: str, seed: int
) -> Path:
    """Where a run's record lies: below `root`, whatever the names are."""
    task, dataset, model = map(safe_name, (task, dataset, model))
    return root / task / dataset / model / run_hash[:8] / f"seed-{seed}"


def seeds_of(folder: Path) -> list[Path]:
    """The folders of all records of the model and seed that a record's folder is of."""
    return sorted(path for path in folder.parent.parent.glob(f"*/{folder.name}") if path.is_dir())


def check_writable(root: Path) -> None:
    """Raise MMBenchError now, and not after an hour of training, if `root` cannot be written."""
    with writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass


def write_record(
    folder: Path,
    record: Record,
    files: Mapping[str, bytes],
    unlisted: Mapping[str, bytes] | None = None,
    absent: Mapping[str, str] | None = None,
) -> Record:
    """Write a record and its files into a temporary folder beside, and put it in place.

    Args:
        folder: where it shall lie; what lies there is replaced.
        record: its `files` are filled in here.
        files: content by name.
        unlisted: files that go with it but are no part of it, and know by themselves whether they
            were changed.
        absent: SHA-256 of files that are kept elsewhere, by name.
    Returns: the record as written.
    Raises: MMBenchError if the disk does not take it: nothing is left of it, and what lay there
        before is still there. ValueError for a number that is NaN or infinite: that is a bug of
        what computed it, and JSON has no such numbers.
    """
    if odd := _not_finite(record):
        raise ValueError(f"not written to {folder}: {'; '.join(odd)}")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    record = record.model_copy(update={"files": {**hashes, **(absent or {})}}).sealed()
    text = record.model_dump_json(indent=1) + "\n"
    temporary: Path | None = None
    try:
        with writing_to(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            prefix = temporary_prefix(folder)
            temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
            temporary.chmod(0o755)
            for name, content in {**files, **(unlisted or {})}.items():
                (temporary / name).write_bytes(content)
            (temporary / RUN_FILE).write_text(text, encoding="utf-8")
            put_in_place(temporary, folder, RUN_FILE)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return record


def rewrite_record(
    folder: Path,
    record: Record,
    files: Mapping[str, bytes] | None = None,
    dropped: Collection[str] = (),
) -> Record:
    """Write a record that lies in a folder anew, with all that lies there and does not change.

    Args:
        folder: where it lies.
        record: as it shall be; its `files` are those of before.
        files: content of those that change, by name.
        dropped: names of files that go.
    Returns, raises: as `write_record`.
    """
    changed = dict(files or {})
    there = {f.name: f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")}
    kept = {n: f.read_bytes() for n, f in there.items() if n not in (RUN_FILE, *dropped)}
    listed = {n: content for n, content in kept.items() if n in record.files} | changed
    unlisted = {n: content for n, content in kept.items() if n not in listed}
    absent = {n: digest for n, digest in record.files.items() if n not in there}
    return write_record(folder, record, listed, unlisted, absent)


def recover(folder: Path) -> None:
    """Put a record back that a killed process had moved aside to replace it.

    Raises: MMBenchError if it is there and cannot be put back.
    """
    restore_stranded(folder, RUN_FILE)


def clear(folder: Path) -> None:
    """Remove what killed processes left beside a record's folder, which must be held."""
    remove_leftovers(folder, RUN_FILE)


def _not_finite(record: Record) -> list[str]:
    """Each number of a record that is NaN or infinite: of which metric, or by its key."""
    found = []
    for entry in record.metrics:
        of = entry.name if entry.category is None else f"{entry.name} of {entry.category}"
        found += [f"the {key} of {of} is {n}" for key, n in not_finite(entry.model_dump())]
    rest = record.model_dump(exclude={"metrics"})
    return found + [f"{key} is {number}" for key, number in not_finite(rest)]


def read_value(file: Path) -> dict[str, Any]:
    """The JSON object that a `run.json` holds, of whatever schema.

    Raises: MMBenchError if it holds none.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MMBenchError(f"no record at {file.parent}: {error}") from None
    if not isinstance(value, dict):
        raise MMBenchError(f"no record at {file.parent}: {file.name} holds no object")
    return value


def validated(kind: type[Part], value: Mapping[str, Any], file: Path) -> Part:
    """What a file holds, as its kind of record.

    Raises: MMBenchError that names the first key that is not as it must be.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise MMBenchError(f"{file} is not a valid record: {key}: {first['msg']}") from None


def read_record(path: Path) -> Record:
    """The record in a folder (or its `run.json`).

    Raises: MMBenchError if there is none, or it is not one that this version can read.
    """
    file = path / RUN_FILE if path.is_dir() else path
    value = read_value(file)
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        raise MMBenchError(
            f"{file} has schema version {version}; this mmbench reads {SCHEMA_VERSION}. "
            + (
                f"`mmbench convert {shlex.quote(str(path))}` makes it one that can be read."
                if version == 1
                else "Use the mmbench that wrote it, or run again."
            )
        )
    record = validated(Record, value, file)
    if odd := _not_finite(record):
        raise MMBenchError(f"{file} is not a valid record: {odd[0]}")
    return record


def _refuse(folder: Path, problem: str) -> None:
    raise MMBenchError(problem)


def find_records(
    paths: Iterable[Path],
    unreadable: Callable[[Path, str], None] = _refuse,
    may_be_none: bool = False,
) -> list[Path]:
    """The folders of all records at or below the paths, sorted.

    Args:
        paths: folders, or a record's `run.json`.
        unreadable: called with each folder that cannot be read, and a line that says why. By
            default that raises.
        may_be_none: whether a path may hold no record.
    Raises: MMBenchError if a path does not exist, is another file, or holds no record.
    """
    folders: set[Path] = set()
    for path in paths:
        recover(path)
        if not path.exists():
            raise MMBenchError(f"no such path: {path}")
        if path.is_file():
            if path.name != RUN_FILE:
                raise MMBenchError(
                    f"{path} is not a record: name a folder of records or a {RUN_FILE}"
                )
            path = path.parent
        problems: dict[Path, str] = {}
        found = _below(path, problems)
        for folder, problem in problems.items():
            unreadable(folder, problem)
        if not found and not problems and not may_be_none:
            raise MMBenchError(
                f"no record at or below {path}. `mmbench run --task vqa --model gated_fusion --out "
                f"{shlex.quote(str(path))}` makes one."
            )
        folders |= found
    return sorted(folders)


def _below(path: Path, problems: dict[Path, str]) -> set[Path]:
    """Folders with a `run.json`, but for hidden ones and trials; stranded records are put back."""

    def problem(error: OSError) -> None:
        problems[Path(error.filename)] = f"{error.filename} cannot be read: {error.strerror}"

    found = set()
    for here, folders, files in os.walk(path, onerror=problem):
        for name in filter(None, map(stranded_name, folders)):
            if name not in folders:
                recover(Path(here) / name)
                folders.append(name)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not Path(here, name, TRIALS_MARK).exists()
        ]
        if RUN_FILE in files:
            found.add(Path(here))
    return found
