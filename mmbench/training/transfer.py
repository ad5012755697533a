"""Batches on their way to the device, copied while it computes something else.

On CUDA a batch is put into pinned memory and copied on a stream of its own, so that the copy waits
for no step, and no step for a copy that is already there. Elsewhere it is where it must be at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from mmbench.training.objectives.weighted import Batches, moved


class Sent(NamedTuple):
    """Batches that are being copied.

    Attributes:
        batches: on the device, to be read once they have arrived.
        arrived: recorded behind the copy; None where nothing need be waited for.
    """

    batches: Batches
    arrived: torch.cuda.Event | None


class Transfer:
    """Copies batches to a device. One thread may send while another takes.

    Args:
        device: that trains.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, batches: Batches) -> Sent:
        """Begin to copy; on CUDA this returns before the copy is done."""
        if self._stream is None:
            return Sent(moved(batches, self._device), None)
        pinned = {
            name: {key: tensor.pin_memory() for key, tensor in batch.items()}
            for name, batch in batches.items()
        }
        with torch.cuda.stream(self._stream):  # torch keeps pinned memory until its copy is done
            sent = moved(pinned, self._device)
        return Sent(sent, self._stream.record_event())

    def take(self, sent: Sent) -> Batches:
        """The batches; what is computed of them from now on waits, on the device, for the copy."""
        if sent.arrived is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(sent.arrived)
            for batch in sent.batches.values():
                for tensor in batch.values():
                    tensor.record_stream(stream)  # else the memory is free once the copy is done
        return sent.batches
