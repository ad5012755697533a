"""Where a run ran: versions, device, commit, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmbench.processes import here
from mmbench.records.record import Environment

_PACKAGES = (
    *("torch", "transformers", "torchmetrics", "numpy", "scipy", "pandas", "datasets"),
    *("safetensors", "pillow"),
)


def environment(
    device: str, device_name: str, deterministic: bool = False, compiled: bool = False
) -> Environment:
    """The environment of this process; torch, which takes long to import, only if it was used."""
    commit, dirty = _git_state(Path(__file__).parent)
    cuda, cudnn = _cuda_versions(device)
    return Environment(
        mmbench=version("mmbench"),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        platform=platform.platform(),
        device=device,
        device_name=device_name,
        threads=_threads(),
        precision="bfloat16" if cuda else "float32",
        cuda=cuda,
        cudnn=cudnn,
        deterministic=deterministic,
        compiled=compiled,
        processes=here().count,
        git_commit=commit,
        git_dirty=dirty,
    )


def _cuda_versions(device: str) -> tuple[str | None, str | None]:
    if not device.startswith("cuda"):
        return None, None
    import torch

    cudnn = torch.backends.cudnn.version()
    return torch.version.cuda, None if cudnn is None else str(cudnn)


def _threads() -> int:
    """Those of torch, or the machine's where torch was not needed."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.cpu_count() or 1


class PeakMemory:
    """The most memory that is taken from now on: of this run alone, not of an earlier one's.

    Args:
        device: of torch, that the run uses.
    """

    def __init__(self, device: Any = None) -> None:
        self._device = device
        self._alone = _reset_peak()
        if self._on_gpu():
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def resident_mb(self) -> float | None:
        """Largest resident size of the process, in 10^6 bytes; None where the system keeps only
        that of the whole process.
        """
        if not self._alone:
            return None
        status = Path("/proc/self/status").read_text(encoding="ascii")
        kilobytes = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
        return int(kilobytes) * 1024 / 1e6

    def gpu_mb(self) -> float | None:
        """Most memory of tensors on the GPU, in 10^6 bytes; None without one."""
        if not self._on_gpu():
            return None
        import torch

        return torch.cuda.max_memory_allocated(self._device) / 1e6

    def _on_gpu(self) -> bool:
        return getattr(self._device, "type", "") == "cuda"


def _reset_peak() -> bool:
    """Let the system's high-water mark of this process begin anew; False where it has none."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


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
