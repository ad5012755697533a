"""The kind of device that a name stands for, told without torch where that can be seen."""

from __future__ import annotations

import os
import sys

_OF_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia")


def device_kind(name: str) -> str:
    """ "cpu", "cuda" or "mps", as `choose_device` would choose by this name.

    A named kind need not be here: records that were made on it elsewhere are found by it.

    Raises: MMBenchError if no device is called so.
    """
    if (kind := name.partition(":")[0]) in ("cuda", "mps"):
        return kind
    bare = sys.platform == "linux" and not any(os.path.exists(p) for p in _OF_ACCELERATORS)
    if name == "cpu" or (name == "auto" and bare):
        return "cpu"
    from mmbench.training.device import choose_device

    return choose_device(name).type
