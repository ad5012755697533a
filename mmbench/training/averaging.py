"""An exponential moving average of weights, by torch.optim.swa_utils."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """The average of what is trained, and of the statistics that go with it (norms, codebooks).

    After update t (from 0) it is a_t = d_t a_{t-1} + (1 - d_t) w_t, with d_t the smaller of the
    decay and (1 + t) / (10 + t), so that the weights that a short training began with are soon
    forgotten, as TensorFlow's ExponentialMovingAverage does with `num_updates`.

    Args:
        model: whose parameters that are trained, and buffers of floating point that are kept, are
            averaged.
        objectives: whose parameters that are trained are averaged; buffers, such as queues, not.
        decay: d.
        done: updates that were made before, in an earlier sitting.
    Attributes:
        tensors: the average, by name; within `in_place` what the modules hold otherwise.
    """

    def __init__(
        self, model: nn.Module, objectives: nn.Module, decay: float, done: int = 0
    ) -> None:
        both = nn.ModuleDict({"model": model, "objectives": objectives})
        parameters = dict(both.named_parameters(remove_duplicate=False))
        chosen: dict[int, tuple[str, Tensor]] = {}  # each once, also where two modules share one
        for name, tensor in both.state_dict(keep_vars=True).items():
            statistics = name not in parameters and name.startswith("model.")
            if tensor.requires_grad or (statistics and tensor.is_floating_point()):
                chosen.setdefault(id(tensor), (name, tensor.detach()))
        self._own = dict(chosen.values())
        self._decay = decay
        self._done = done
        self.tensors = {name: tensor.clone() for name, tensor in self._own.items()}

    def update(self) -> None:
        """Called after each step of the optimizer."""
        decay = min(self._decay, (1 + self._done) / (10 + self._done))
        self._done += 1
        by_type: dict[torch.dtype, list[str]] = {}
        for name, tensor in self.tensors.items():
            by_type.setdefault(tensor.dtype, []).append(name)
        for names in by_type.values():
            average = [self.tensors[name] for name in names]
            get_ema_multi_avg_fn(decay)(average, [self._own[name] for name in names], None)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the average of an earlier sitting."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model holds the average; behind, its own weights, to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for name, own in self._own.items():
                held = own.clone()
                own.copy_(self.tensors[name])
                self.tensors[name].copy_(held)
