"""What every fusion of decisions must keep: see `mmbench.zoo.fusion.late.LateFusion`.

Each check is a function of a way to make one: `make(seed)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmbench.checks.contract import Make, require, require_close, require_finite, shape
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.part import build_part

B, C = 4, 5
NAMES = ("text", "image", "audio")


def late_fusion_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make a fusion of decisions: `make(seed=0)`, in evaluation mode.

    Args:
        name: registered, or `module:Class`.
        options: as a recipe has them.
        width: of no effect: it joins logits.
    """

    def make(seed: int = 0) -> LateFusion:
        torch.manual_seed(seed)
        found: LateFusion = build_part("late_fusions", name, options, modalities=NAMES, classes=C)
        return found.eval()

    return make


def decisions(seed: int = 0) -> list[Tensor]:
    """Random logits (B, C) of each modality."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, C, generator=generator, requires_grad=True) for _ in NAMES]


def all_there() -> list[Tensor]:
    """That every sample has every modality."""
    return [torch.ones(B, dtype=torch.bool) for _ in NAMES]


def check_shapes(make: Make) -> None:
    """Logits of all classes; declared losses, in training alone; shares of each modality."""
    target = torch.tensor([0, 3, 2, -100])
    for training in (True, False):
        module = make().train(training)
        given = module(decisions(), all_there(), target if training else None)
        require(isinstance(given, Decoded), f"`forward` gives a {type(given).__name__}, no Decoded")
        found = shape(given.logits)
        require(found == (B, C), f"logits are {found}, due are {(B, C)}")
        require_finite(given.logits, "the logits")
        due = set(module.auxiliary) if training else set()
        when = "training" if training else "evaluation"
        require(
            set(given.losses) == due,
            f"in {when} it gives the losses {sorted(given.losses)}, due are {sorted(due)}",
        )
        for key, loss in given.losses.items():
            require(loss.ndim == 0, f"the loss {key} is {shape(loss)}, due is a scalar")
            require_finite(loss, f"the loss {key}")
        if given.shares is not None:
            due_shares = (B, 1, len(NAMES))
            found = shape(given.shares)
            require(found == due_shares, f"shares are {found}, due are {due_shares}")
            require_finite(given.shares, "the shares")


def check_missing(make: Make) -> None:
    """What a modality says that a sample lacks changes nothing, and nothing becomes NaN."""
    for missing in ((0,), (1, 2), (0, 1, 2)):
        module = make()
        names = " and ".join(NAMES[i] for i in missing)
        present = all_there()
        for i in missing:
            present[i][1] = False
        logits = decisions()
        out = module(logits, present).logits
        require_finite(out, f"the logits where {names} is missing")
        out.square().sum().backward()
        for tensor in (*logits, *module.parameters()):
            if tensor.grad is not None:
                require_finite(tensor.grad, f"a gradient where {names} is missing")
        for rubbish in (1e6, float("nan")):
            changed = [x.detach().clone() for x in logits]
            for i in missing:
                changed[i][1] = rubbish
            require_close(
                out.detach(),
                module(changed, present).logits.detach(),
                f"{rubbish:g} as the logits of {names}, which is missing, or others",
            )
        whole = module(decisions(), all_there()).logits
        require_close(out[[0, 2, 3]], whole[[0, 2, 3]], f"samples beside one that lacks {names}")
        changes = not torch.allclose(out[1], whole[1])
        require(changes, f"{names} changes nothing, there or missing")


def check_impossible_classes(make: Make) -> None:
    """A class that no modality thinks possible is never above another one."""
    logits = [x.detach().clone() for x in decisions()]
    for x in logits:
        x[:, 4] = -torch.inf
    out = make()(logits, all_there()).logits
    require(not bool(out.isnan().any()), "a logit of minus infinity gives NaN")
    require(bool((out[:, 4:] <= out[:, :4]).all()), "an impossible class is above a possible one")


def check_parameters(make: Make) -> None:
    """Gradients reach every modality and every parameter; saved tensors give the same again."""
    module = make().train()
    logits = decisions()
    given = module(logits, all_there(), torch.tensor([0, 3, 2, 1]))
    total = (given.logits * torch.randn(B, C)).sum() + sum(given.losses.values())
    total.backward()
    named = [*zip(NAMES, logits, strict=True), *module.named_parameters()]
    for key, tensor in named:
        reached = tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)
        require(reached, f"no gradient reaches {key}")
    one, other = make(seed=0), make(seed=1)
    other.load_state_dict(one.state_dict())
    require_close(
        one(logits, all_there()).logits,
        other(logits, all_there()).logits,
        "a fusion, and another one with its saved tensors (a tensor that is no parameter?)",
    )


def check_determinism(make: Make) -> None:
    """In evaluation mode the same input gives the same output, whatever is drawn elsewhere."""
    module = make()
    one = module(decisions(), all_there()).logits
    torch.manual_seed(77)
    same = torch.equal(one, module(decisions(), all_there()).logits)
    require(same, "the same input gives two outputs in evaluation mode")


CHECKS = (
    check_shapes,
    check_missing,
    check_impossible_classes,
    check_parameters,
    check_determinism,
)
