"""What every decoder of classes must keep: a fused stream (B, T, D) -> logits (B, classes).

Decoders that write texts or images need what their task gives them and are checked by its tests.
Each check is a function of a way to make one: `make(seed)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmbench import registry
from mmbench.checks.contract import Make, require, require_close, require_finite, shape
from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream

B, T, D, C = 3, 4, 16, 5


def decoder_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make a decoder of classes: `make(seed=0)`, in evaluation mode.

    Args:
        name: registered, or `module:Class`.
        options: as a recipe has them.
        width: of the stream; 16 if None.
    Raises: MMBenchError for a decoder of something else.
    """
    if "classes" not in inspect.signature(registry.load("decoders", name)).parameters:
        raise MMBenchError(
            f"the decoder {name} takes no number of `classes`: it writes something that its task "
            "knows, and only decoders of classes can be checked by themselves"
        )

    def make(seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        found: nn.Module = build_part("decoders", name, options, dim=width or D, classes=C)
        return found.eval()

    make.width = width or D  # type: ignore[attr-defined]
    return make


def _stream(make: Make, seed: int = 0) -> Stream:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[1, 2:] = False
    width = getattr(make, "width", D)
    return Stream(torch.randn(B, T, width, generator=generator), mask)


def check_shapes(make: Make) -> None:
    """A logit a class for each sample, and no NaN."""
    logits = make()(_stream(make))
    require(isinstance(logits, torch.Tensor), f"`forward` gives a {type(logits).__name__}")
    require(shape(logits) == (B, C), f"logits are {shape(logits)}, due are {(B, C)}")
    require_finite(logits, "the logits")


def check_masks(make: Make) -> None:
    """What stands at masked positions changes nothing."""
    module, stream = make(), _stream(make)
    for rubbish in (1e6, float("nan")):
        tokens = stream.tokens.masked_fill(~stream.mask[..., None], rubbish)
        require_close(
            module(stream), module(Stream(tokens, stream.mask)), f"{rubbish:g} where it is masked"
        )


def check_inputs_matter(make: Make) -> None:
    """Another stream gives other logits."""
    module = make()
    same = torch.allclose(module(_stream(make)), module(_stream(make, 1)))
    require(not same, "two streams give the same logits")


def check_parameters(make: Make) -> None:
    """Every parameter gets a gradient; saved tensors give the same again."""
    module = make().train()
    logits = module(_stream(make))
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in module.named_parameters():
        unused = parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
        require(not unused, f"the parameter {key} gets no gradient: nothing uses it")
    one, other = make(seed=0), make(seed=1)
    other.load_state_dict(one.state_dict())
    require_close(
        one(_stream(make)), other(_stream(make)), "a decoder, and another one with its tensors"
    )


def check_determinism(make: Make) -> None:
    """In evaluation mode the same stream gives the same logits, whatever is drawn elsewhere."""
    module = make()
    one = module(_stream(make))
    torch.manual_seed(77)
    require(torch.equal(one, module(_stream(make))), "the same stream gives two logits")


CHECKS = (check_shapes, check_masks, check_inputs_matter, check_parameters, check_determinism)
