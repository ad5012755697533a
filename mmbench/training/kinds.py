"""The kind of device that a name stands for, told without torch where that can be seen."""

from __future__ import annotations

import os
import sys

_OF_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia")


def device_kind(name: str) -> str:
    """ "cpu", "cuda" or "mps", as `choose_device` would choose by this name.

    Raises: MMBenchError if there is no such device here.
    """
    bare = sys.platform == "linux" and not any(os.path.exists(p) for p in _OF_ACCELERATORS)
    if name == "cpu" or (name == "auto" and bare):
        return "cpu"
    from mmbench.training.device import choose_device

    return choose_device(name).type
