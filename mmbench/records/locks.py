"""One process at a time makes a run; others wait for it. A lock ends with its process, however.

Beside the folder `seed-0` of a record that is being made lie `.seed-0.lock`, locked, and
`.seed-0.owner`, which says by whom. Both are made and removed under a lock of the whole root, so
that nobody ever waits for a file that was removed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from mmbench.records.writing import writing_to

_PAUSE = 0.2  # seconds between looks whether the other is done


@contextmanager
def held(root: Path, folder: Path, says: Callable[[str], None]) -> Iterator[None]:
    """Within, the record in `folder`, and what is kept beside it, are this process's alone.

    Args:
        root: where records are kept.
        folder: of the record, below the root; it need not exist.
        says: called once with a line that says who has it, if another process does.
    Raises: MMBenchError if the folder beside cannot be written.
    """
    with writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    owner = folder.parent / f".{folder.name}.owner"
    lock_of_root = FileLock(root / ".lock")
    told = False
    while True:
        with writing_to(folder), lock_of_root:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if _try(lock):
                owner.write_text(_this_process(), encoding="utf-8")
                break
            whoever = _read_owner(owner)
        if not told:
            says(f"{whoever} makes the same run now; waiting for it")
            told = True
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        with writing_to(folder), lock_of_root:
            owner.unlink(missing_ok=True)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
            _remove_empty(folder.parent, root)


def _try(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it below the root, as far as they are empty."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _this_process() -> str:
    now = datetime.now().astimezone().isoformat(" ", timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})


def _read_owner(path: Path) -> str:
    """Who has it, in words."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']} (since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it ended before it could say
        return "another process"
