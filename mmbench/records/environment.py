"""Where a run ran: versions, device, commit, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from mmbench.records.record import Environment

_PACKAGES = ("torch", "numpy", "datasets", "safetensors", "pandas")


def environment(device: str, device_name: str) -> Environment:
    """The environment of this process; torch, which takes long to import, only if it was used."""
    commit, dirty = _git_state(Path(__file__).parent)
    return Environment(
        mmbench=version("mmbench"),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=device,
        device_name=device_name,
        threads=_threads(),
        git_commit=commit,
        git_dirty=dirty,
    )


def _threads() -> int:
    """Those of torch, or the machine's where torch was not needed."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.cpu_count() or 1


def peak_memory_mb() -> float | None:
    """Largest resident size of this process so far, in 10^6 bytes; None where it is not known."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """The commit of mmbench's own checkout and whether files in it were changed; None outside."""
    try:
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)  # not another's checkout
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, dirty


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
