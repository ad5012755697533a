"""Several processes of one run, as a launcher starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

pytest.importorskip("accelerate")


def launched(
    count: int, *arguments: object, own: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc-per-node COUNT ARGUMENTS`; one process without a launcher."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, *(launcher if count > 1 else []), *map(str, arguments)]
    # One thread each, as the launcher gives: sums are split alike.
    variables = environment(ROOT) | {"OMP_NUM_THREADS": "1"} | (own or {})
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=240, **options
    )  # type: ignore[call-overload]


def whole(done: subprocess.CompletedProcess[str]) -> str:
    """What it printed, of one that ended well."""
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def path_of(module: str) -> Path:
    """A script beside the tests."""
    return Path(ROOT, *module.split(".")).with_suffix(".py")
