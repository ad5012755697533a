"""Which device to use, and what it is."""

from __future__ import annotations

import platform

import torch

from mmbench.errors import MMBenchError


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes cuda, else mps, else cpu.

    Raises: MMBenchError if there is no such device here.
    """
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    if name == "auto":
        return torch.device(here[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    known = device is not None and device.type in here
    if device is None or not known or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise MMBenchError(f"no device '{name}' here; there is {', '.join(here)}")
    return device


def device_name(device: torch.device) -> str:
    """What the device is called by its maker."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
