"""How exactly numbers are computed, and where the networks of metrics run."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    import torch

_CHOOSES_MEMORY = re.compile("MALLOC_|GLIBC_TUNABLES$")  # of environment variables
_KEPT_MEMORY = ((-3, 32 * 2**20), (-1, 256 * 2**20))  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD in bytes
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # read by cuBLAS when it starts: what lets it repeat itself

_named: ContextVar[str] = ContextVar("device", default="auto")


@contextmanager
def computing_on(name: str) -> Iterator[None]:
    """Within, the networks of metrics run on the device of this name, as `--device` takes it."""
    token = _named.set(name)
    try:
        yield
    finally:
        _named.reset(token)


def computing_device() -> torch.device:
    """The device that the networks of metrics run on; for "auto" cuda where there is one, or cpu.

    >>> with computing_on("cpu"):
    ...     computing_device()
    device(type='cpu')
    """
    import torch

    name = _named.get()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def usual_batching(device: torch.device) -> tuple[int, int]:
    """How many images a metric's network takes at a time, and how many threads make its inputs.

    Few images leave a GPU idle, and one thread cannot resize them as fast as it takes them.
    """
    if device.type == "cpu":
        return 32, 1
    return 256, min(8, usable_cores())


def float64_gpu() -> torch.device | None:
    """The run's GPU if it has float64, for the linear algebra of metrics; None for the CPU."""
    device = computing_device()
    return device if device.type == "cuda" else None


@contextmanager
def with_threads(count: int | None) -> Iterator[None]:
    """Within, torch computes with so many threads of the CPU; with as many as before for None."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_alone() -> int:
    """How many threads a run takes that has the machine for itself, told without torch."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(int(asked), usable_cores()) if asked.isdigit() and int(asked) else usable_cores()


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for what is made next, where the user has chosen nothing.

    It hands what is larger than 128 kB back to the system otherwise, as most tensors are, so that
    each is made of new pages that the system has to clear first: answering took 1.4 times as long
    on CPUs, and training 1.2 times (docs/measurements.md).

    Returns: whether it does.
    """
    if not sys.platform.startswith("linux") or any(map(_CHOOSES_MEMORY.match, os.environ)):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(mallopt(*setting) for setting in _KEPT_MEMORY)


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def exact_float32() -> Iterator[None]:
    """Within, a GPU computes in float32 what is in float32, and not in TF32.

    TF32 keeps 10 bits of a number: features and answers would differ from those of a CPU. What
    autocast runs in bfloat16 stays as it is.
    """
    import torch

    switches: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [_uses_tf32(switch) for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    try:
        yield
    finally:
        for switch, used in zip(switches, before, strict=True):
            switch.allow_tf32 = used


def _uses_tf32(switch: Any) -> bool:
    """Whether it was switched on, by whichever of the two ways that torch has for it."""
    try:
        return bool(switch.allow_tf32)
    except RuntimeError:  # the other way was used, and torch does not translate
        return bool(switch.fp32_precision == "tf32")


@contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Within, if it is wanted, torch takes only algorithms that give the same bytes every time.

    A CPU does so anyway. On a GPU sums whose order is left open (the gradients of embeddings, of
    rows that are taken twice) differ in their last bits from run to run, and training grows that.

    Raises: MMBenchError where an operation has no such algorithm.
    """
    if not wanted:
        yield
        return
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # it finds faults, and costs time
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if "deterministic" not in said:
            raise
        raise MMBenchError(
            f"--deterministic cannot be kept here: {said.partition('. ')[0]}. Leave it off, or "
            "train on the CPU."
        ) from None
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


def summed_up(x: torch.Tensor) -> torch.Tensor:
    """The cumulative sums of the last dimension; on the CPU where a GPU could not repeat them."""
    import torch

    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return x.cpu().cumsum(-1).to(x.device)
    return x.cumsum(-1)
