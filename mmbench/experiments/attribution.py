"""Which part of a model what is counted belongs to: operations, seconds forward and backward.

A part is what parameters are counted by (`encoders.text`, `decoder`), but that a fusion within a
decoder is the part `fusion`. What no part does (gathering rows, a loss) is of `REST`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.model import part_of
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.fusion.late import LateFusion

REST = "other"


def parts_of(model: nn.Module) -> dict[nn.Module, str]:
    """The part of each module within a model."""
    found: dict[nn.Module, str] = {}
    for name, module in model.named_modules():
        if name in ("", "encoders"):
            continue
        part = part_of(name)
        if isinstance(module, Fusion | LateFusion):
            found |= dict.fromkeys(module.modules(), "fusion")
        found.setdefault(module, part)
    return found


class Attribution:
    """Charges what a counter counts to the parts of a model.

    Args:
        model: whose parts.
        counter: gives how much there was so far, such as a clock.
    Attributes:
        by_part: how much each part had.
    """

    def __init__(self, model: nn.Module, counter: Callable[[], float]) -> None:
        self.by_part: dict[str, float] = {}
        self._parts = parts_of(model)
        self._owners = {
            id(parameter): part
            for module, part in self._parts.items()
            for parameter in module.parameters(recurse=False)
        }
        self._counter = counter
        self._running = [REST]
        self._last = 0.0
        self._firsts: list[int] = []  # numbers of autograd's nodes, each the first that is made by
        self._makers: list[str] = []  # the part of the same place

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Within, what is counted is charged to the part whose module runs."""
        hooks = []
        for module in self._parts:
            hooks.append(module.register_forward_pre_hook(self._enter))
            hooks.append(module.register_forward_hook(self._leave, always_call=True))
        self._running = [REST]
        self._firsts, self._makers = [0], [REST]
        self._last = self._counter()
        try:
            yield
            self._charge(self._running[-1])
        finally:
            for hook in hooks:
                hook.remove()

    def backward(self, loss: Tensor) -> None:
        """Call a loss's `backward`, each node of which is charged to the part that made it.

        Args:
            loss: computed within `forward`, by this thread.
        """
        self._running = [REST]

        def begins(part: str) -> Callable[..., None]:
            def hook(*_: object) -> None:
                self._charge(self._running[-1])
                self._running[-1] = part

            return hook

        hooks = [node.register_prehook(begins(self._maker(node))) for node in _nodes(loss.grad_fn)]
        self._last = self._counter()
        try:
            loss.backward()
            self._charge(self._running[-1])
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, module: nn.Module, *_: object) -> None:
        self._charge(self._running[-1])
        self._running.append(self._parts[module])
        self._mark()

    def _leave(self, *_: object) -> None:
        self._charge(self._running.pop())
        self._mark()

    def _charge(self, part: str) -> None:
        now = self._counter()
        self.by_part[part] = self.by_part.get(part, 0.0) + now - self._last
        self._last = now

    def _mark(self) -> None:
        """From here on autograd's nodes are made by the part that runs."""
        if torch.is_grad_enabled():
            self._firsts.append(_next_node())
            self._makers.append(self._running[-1])

    def _maker(self, node: Any) -> str:
        variable = getattr(node, "variable", None)
        if variable is not None:  # adds up the gradient of a parameter
            return self._owners.get(id(variable), REST)
        return self._makers[bisect_right(self._firsts, node._sequence_nr()) - 1]


def _next_node() -> int:
    """Later than the number of every node of this thread until now."""
    with torch.enable_grad():
        made: Any = torch.empty(0, requires_grad=True).view(0).grad_fn
    return int(made._sequence_nr())


def _nodes(root: Any) -> list[Any]:
    """All nodes of autograd's graph below one."""
    found, waiting = {root}, [root]
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in found:
                found.add(node)
                waiting.append(node)
    return list(found)


def parameters_by_part(model: nn.Module) -> Mapping[str, tuple[int, int]]:
    """By part, how many parameters are trained and how many are frozen; each counted once."""
    counts: dict[str, tuple[int, int]] = {}
    seen: set[int] = set()

    def add(part: str, trained: int, frozen: int) -> None:
        before = counts.get(part, (0, 0))
        counts[part] = before[0] + trained, before[1] + frozen

    parts = parts_of(model)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                size, learns = parameter.numel(), parameter.requires_grad
                part = parts.get(module, part_of(name))
                add(part, size if learns else 0, 0 if learns else size)
        if frozen := getattr(module, "frozen_parameters", 0):
            add(parts.get(module, REST), 0, frozen)
    return counts
