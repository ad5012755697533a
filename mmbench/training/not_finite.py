"""Where a loss that became NaN came from: the part that makes NaN of what is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.errors import MMBenchError
from mmbench.model import TaskModel
from mmbench.training.objectives.weighted import Batches, WeightedObjectives, total
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.stream import Stream

_LOOKED_AT = 20  # batches

Weights = Mapping[str, Tensor]


class _Found(MMBenchError):
    """A part gave NaN; says which and what."""


def weights_of(module: nn.Module) -> Weights:
    """A copy, on the CPU, of what training changes: parameters that are trained, and buffers."""
    changing = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    return {n: t.detach().cpu().clone() for n, t in (*changing, *module.named_buffers())}


def put_back(module: nn.Module, weights: Weights) -> None:
    """Put a copy that `weights_of` made into its module again."""
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def not_finite_in(
    model: TaskModel, objectives: WeightedObjectives, batches: Iterable[Batches]
) -> str:
    """Which part gives NaN of inputs that are none, or has such gradients; "" if none does.

    Args:
        model: with the weights that an epoch began with; its gradients are lost.
        objectives: of the stage.
        batches: of that epoch, on the model's device; the first 20 are looked at.
    """
    parts: dict[str, nn.Module] = {}
    for number, batch in zip(range(1, _LOOKED_AT + 1), batches, strict=False):
        where = f"on batch {number} of the epoch, with the weights that it began with"
        model.zero_grad(set_to_none=True)
        try:
            with _watched(model, parts):
                losses = objectives.losses(model, batch)
        except _Found as found:
            return f"{found} {where}"
        total(losses).backward()
        for name, part in reversed(parts.items()):  # the nearest to the loss first
            for key, parameter in part.named_parameters():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    return f"{name} has a gradient of {key} that is NaN or infinite, {where}"
    return ""


@contextmanager
def _watched(model: nn.Module, seen: dict[str, nn.Module]) -> Iterator[None]:
    """Within, a part that gives NaN raises `_Found`; `seen` gets the parts in their order."""

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
            seen[name] = module
            if (bad := _odd(out)) and not any(_odd(value) for value in given):
                raise _Found(
                    f"{name} gives {bad} numbers that are NaN or infinite, of inputs that are not,"
                )

        return hook

    handles = [part.register_forward_hook(look(name)) for name, part in _parts(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What a recipe names, with what it is called in a message."""
    for path, module in model.named_modules():
        name = type(module).__name__
        if isinstance(module, Encoder):
            yield f"the encoder {name} of {module.modality}", module
        elif isinstance(module, Fusion | LateFusion):
            yield f"the fusion {name}", module
        elif path == "decoder":
            yield f"the decoder {name}", module


def _odd(value: Any) -> int:
    """How many numbers of what a part reads or gives are not finite, where something is there.

    Of logits minus infinity is none of them: it stands for what is impossible.
    """
    if isinstance(value, Stream):
        return int((~value.tokens.isfinite())[value.mask].sum())
    if isinstance(value, Fused):
        return _odd(value.stream)
    if isinstance(value, Tensor):
        return int((value.isnan() | (value == torch.inf)).sum()) if value.is_floating_point() else 0
    if isinstance(value, list | tuple):
        return sum(_odd(inner) for inner in value)
    return _odd(getattr(value, "logits", None)) if hasattr(value, "logits") else 0


def loss_error(mean: float, epoch: int, found: str) -> MMBenchError:
    """The error of a loss that became NaN.

    Args:
        mean: of the epoch.
        epoch: its number, from 1.
        found: what `not_finite_in` says.
    """
    if found:
        return MMBenchError(f"the loss became {mean} in epoch {epoch}: {found}")
    return MMBenchError(
        f"the loss became {mean} in epoch {epoch}. Lower the learning rate: --set train.lr=..."
    )
