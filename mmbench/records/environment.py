"""Where a run ran: versions, device, commit, memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from mmbench.records.record import Environment

_PACKAGES = ("torch", "numpy", "datasets", "safetensors", "pandas")


def environment(device: torch.device, device_name: str) -> Environment:
    """The environment of this process."""
    commit, dirty = _git_state(Path(__file__).parent)
    return Environment(
        mmbench=version("mmbench"),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=str(device),
        device_name=device_name,
        threads=torch.get_num_threads(),
        git_commit=commit,
        git_dirty=dirty,
    )


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
