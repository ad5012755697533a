"""The optimizer of a training, by torch's: what it trains, and what of that it decays."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mmbench import optimizers
from mmbench.errors import MMBenchError
from mmbench.recipe import Train

_Groups = list[dict[str, Any]]


def optimizer_for(model: nn.Module, settings: Train) -> Optimizer:
    """The optimizer of what is not frozen; it decays matrices only: no bias, norm or embedding.

    Raises: MMBenchError if the installed torch does not have it.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in (p for p in model.parameters() if p.requires_grad):
        is_matrix = parameter.ndim >= 2 and id(parameter) not in embeddings
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    lr = settings.lr
    match settings.optimizer_options:
        case optimizers.AdamW() as o:
            betas = o.beta1, o.beta2
            return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=o.eps, fused=True)
        case optimizers.SGD() as o:
            return torch.optim.SGD(groups, lr=lr, momentum=o.momentum, nesterov=o.nesterov)
        case optimizers.Adafactor() as o:
            smallest = None, o.eps  # None: torch's own, of the gradients' type
            return torch.optim.Adafactor(
                groups, lr=lr, beta2_decay=o.beta2_decay, eps=smallest, d=o.clip
            )
        case optimizers.Muon() as o:
            return _muon(groups, lr, o)
        case other:
            raise TypeError(f"no optimizer is made of {other}")


def _muon(groups: _Groups, lr: float, options: optimizers.Muon) -> Optimizer:
    kind = getattr(torch.optim, "Muon", None)
    if kind is None:
        raise MMBenchError(
            f"train.optimizer: muon needs torch 2.9 or newer, and {torch.__version__} is "
            "installed: update torch, or choose adamw, sgd or adafactor"
        )
    decayed, free = groups
    matrices = [p for p in decayed["params"] if p.ndim == 2]
    kernels = [p for p in decayed["params"] if p.ndim != 2]
    others = torch.optim.AdamW([decayed | {"params": kernels}, free], lr=lr, fused=True)
    if not matrices:
        return others
    muon = kind(
        [decayed | {"params": matrices}],
        lr=lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        ns_steps=options.steps,
        adjust_lr_fn=options.size,
    )
    return Both(muon, others)


class Both(Optimizer):
    """Two optimizers of different parameters as one, with one state and one schedule."""

    def __init__(self, first: Optimizer, second: Optimizer) -> None:
        self._both = first, second
        super().__init__([*first.param_groups, *second.param_groups], {})
        self._share()

    def _share(self) -> None:
        first, second = self._both
        split = len(first.param_groups)
        first.param_groups = self.param_groups[:split]
        second.param_groups = self.param_groups[split:]
        first.state = second.state = self.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """A step of each."""
        for optimizer in self._both:
            optimizer.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()
