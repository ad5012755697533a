"""Where what is no model's own computes, such as the networks of metrics, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

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
