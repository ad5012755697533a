"""Floating-point operations, counted the same whatever the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations_of(call: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products and convolutions; a multiply-add counts two.

    Devices have their own fused attention, Transformer layers and recurrent units, whose insides
    nobody sees: they are off meanwhile, so that all is counted as the products that it is made of.
    Other operations (norms, activations, sums) are few beside these, and are not counted.

    >>> operations_of(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
    48
    """
    with counting() as counted:
        call()
        return counted()


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Within, operations are counted as `operations_of` does; gives how many there were so far."""
    cudnn, fast_path = torch.backends.cudnn.enabled, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cudnn.enabled = False  # its recurrent units
    try:
        with (
            torch.inference_mode(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            # Counts by module are not needed, and their hooks fail on one that takes a parameter.
            counter.mod_tracker.__exit__(None, None, None)
            yield lambda: int(counter.get_total_flops())
    finally:
        torch.backends.cudnn.enabled = cudnn
        torch.backends.mha.set_fastpath_enabled(fast_path)
