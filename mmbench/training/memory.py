"""A model that cannot fit into memory is refused in one line, before it takes the machine down."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mmbench.errors import MMBenchError

# Weights, their gradients and two moments of each (AdamW), and the best weights so far.
_COPIES_IN_TRAINING = 5
_MOST_TENSORS = 100_000  # the largest models that are known have half as many
_ADVICE = "Lower width, layers or the batch: train.batch, or --batch-size where it answers."
# What torch says where it finds no memory on a CPU; on a GPU it has a class for it, which the
# libraries beneath it do not use.
_NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "Storage size calculation overflowed"),
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)


@contextmanager
def within_memory(device: torch.device, trains: bool) -> Iterator[None]:
    """Within, a model that is too large, or whatever else finds no memory, is a user's error.

    Parameters are counted as they are made, before they are filled: what is only reserved takes no
    memory yet.

    Args:
        device: that the model will be on.
        trains: whether it will be trained, which takes five times the memory of its parameters.
    Raises: MMBenchError that says how much it would take and what there is.
    """
    limit = _memory(device)
    copies = _COPIES_IN_TRAINING if trains else 1
    taken = tensors = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal taken, tensors
        taken += parameter.numel() * parameter.element_size()
        tensors += 1
        if tensors > _MOST_TENSORS:
            raise MMBenchError(
                f"the model has more than {_MOST_TENSORS:,} tensors of parameters. {_ADVICE}"
            )
        if limit is not None and taken * copies > limit:
            raise MMBenchError(
                f"the model is too large for this machine: {taken / 1e9:,.1f} GB of parameters "
                f"before it is whole{f', times {copies} to train' if trains else ''}, and there "
                f"are {limit / 1e9:,.1f} GB. {_ADVICE}"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MMBenchError(f"out of memory on {device}{_asked(error)}. {_ADVICE}") from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MMBenchError(f"out of memory{_asked(error)}. {_ADVICE}") from None
    finally:
        hook.remove()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no more memory, in whichever way torch says it."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in _NO_MEMORY)


def _asked(error: BaseException) -> str:
    """How much was asked for when there was no more, as torch and NumPy say it."""
    amount = re.search(r"allocate ([\d.]+) (\w+)", str(error))
    if amount is None:
        return ""
    number, unit = amount.groups()
    much = f"{float(number) / 1e9:,.1f} GB" if unit == "bytes" else f"{number} {unit}"
    return f" when {much} more were needed"


def _memory(device: torch.device) -> int | None:
    """Bytes of memory that the device has; None where it is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(os.sysconf_names):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
