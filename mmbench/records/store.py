"""The store of records: a folder a run, written whole or not at all, found again by hash.

<root>/<task>/<dataset>/<model>/<hash8>/seed-<k>/{run.json, predictions.parquet, ...}
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from mmbench.errors import MMBenchError
from mmbench.records.record import SCHEMA_VERSION, Record

RUN_FILE = "run.json"
PREDICTIONS_FILE = "predictions.parquet"
WEIGHTS_FILE = "weights.safetensors"
LOG_FILE = "log.jsonl"


def record_folder(
    root: Path, task: str, dataset: str, model: str, run_hash: str, seed: int
) -> Path:
    """Where a run's record lies."""
    return root / task / dataset / model / run_hash[:8] / f"seed-{seed}"


def check_writable(root: Path) -> None:
    """Raise MMBenchError now, and not after an hour of training, if `root` cannot be written."""
    with _writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass


def write_record(folder: Path, record: Record, files: Mapping[str, bytes]) -> Record:
    """Write a record and its files into a temporary folder beside, and rename it into place.

    Args:
        folder: where it shall lie; what lies there is replaced.
        record: its `files` are filled in here.
        files: content by name.
    Returns: the record as written.
    Raises: MMBenchError if the disk does not take it: nothing is left of it, and what lay there
        before is still there.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    record = record.model_copy(update={"files": hashes})
    text = record.model_dump_json(indent=1) + "\n"
    temporary: Path | None = None
    try:
        with _writing_to(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            temporary.chmod(0o755)
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            (temporary / RUN_FILE).write_text(text, encoding="utf-8")
            if folder.exists():
                replaced = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
                os.rename(folder, replaced / "old")
                os.rename(temporary, folder)
                shutil.rmtree(replaced)
            else:
                os.rename(temporary, folder)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return record


@contextmanager
def _writing_to(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MMBenchError(
            f"cannot write to {path}: {error.strerror or error}. "
            "Make room there or choose another --out."
        ) from None


def read_record(path: Path) -> Record:
    """The record in a folder (or its `run.json`).

    Raises: MMBenchError if there is none, or it is not one that this version can read.
    """
    file = path / RUN_FILE if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        version = value.get("schema_version")
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, RecursionError) as error:
        raise MMBenchError(f"no record at {path}: {error}") from None
    if version != SCHEMA_VERSION:
        raise MMBenchError(
            f"{file} has schema version {version}; this mmbench reads {SCHEMA_VERSION}. "
            "Use the mmbench that wrote it, or run again."
        )
    try:
        return Record.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise MMBenchError(f"{file} is not a valid record: {key}: {first['msg']}") from None


def verify(folder: Path) -> Record:
    """Read a record and check that its files are those it was written with.

    Weights may be absent (they are large, and not kept in git); what is there must be right.

    Raises: MMBenchError naming the file that was changed or is missing.
    """
    record = read_record(folder)
    for name, expected in record.files.items():
        file = folder / name
        if not file.exists() and name == WEIGHTS_FILE:
            continue
        try:
            content = file.read_bytes()
        except OSError as error:
            raise MMBenchError(f"{file}: {error.strerror}, though {RUN_FILE} names it") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise MMBenchError(f"{file} was changed after the run: its hash is not the record's")
    return record


def find_records(paths: Iterable[Path]) -> list[Path]:
    """The folders of all records at or below the paths, sorted.

    Raises: MMBenchError if a path does not exist or holds no record.
    """
    folders: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise MMBenchError(f"no such path: {path}")
        if path.is_file():
            path = path.parent
        found = {
            file.parent
            for file in path.rglob(RUN_FILE)
            if not any(p.startswith(".") for p in file.relative_to(path).parts)
        }
        if not found:
            raise MMBenchError(
                f"no record at or below {path}. `mmbench run --task vqa --out {path}` makes one."
            )
        folders |= found
    return sorted(folders)
