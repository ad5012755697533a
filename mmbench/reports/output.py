"""Writes a report into a file: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmbench.errors import MMBenchError


def check_output(path: Path) -> None:
    """Raise MMBenchError now, and not after the report is made, if the file cannot be written."""
    with _writing(path):
        if _is_other(path):
            return
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass


def write_output(path: Path, text: str) -> None:
    """Write a file; what was there before is there until the new one is whole.

    Raises: MMBenchError if it cannot be written.
    """
    with _writing(path):
        if _is_other(path):
            path.write_text(text, encoding="utf-8")
            return
        target = path.resolve()  # where a link leads
        made, name = tempfile.mkstemp(prefix=f".{target.name[:80]}-", dir=target.parent)
        try:
            with os.fdopen(made, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _is_other(path: Path) -> bool:
    """Whether it is a pipe or a device, which is written and not replaced."""
    return path.exists() and not path.is_file()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        if path.is_dir():
            raise MMBenchError(f"{path} is a folder: name a file in it with --output")
        yield
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise MMBenchError(f"cannot write {path}: {why}. Choose another --output") from None
