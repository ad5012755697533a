"""NT-Xent between modalities: what belongs together is found among all others of a batch.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
(CLIP), 2021 (arXiv 2103.00020), fig. 3; Sohn, Improved Deep Metric Learning with Multi-class N-pair
Loss Objective, 2016.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.model import Batch, Losses, TaskModel
from mmbench.training.objectives.pairs import Projected
from mmbench.zoo.precision import in_float32


class NTXent(Projected):
    """L = -1/2N sum_i [log softmax_j(x_i . y_j / tau)_i + log softmax_j(x_j . y_i / tau)_i].

    x and y are the pooled vectors of two modalities, projected and of length 1. The temperature is
    learnt, and stays where the model has one of its own (`log_scale`, as retrieval's).

    Args:
        between: the two modalities; text and the first other one by default.
        temperature: tau, as it begins.
        learnt: whether it is learnt; 1 / tau is at most 100.
        project: whether the vectors are projected; see `Projected`.
    """

    added_with = {"between": None, "temperature": 0.07, "learnt": True, "project": True}

    def __init__(
        self,
        model: TaskModel,
        between: list[str] | None = None,
        temperature: float = 0.07,
        learnt: bool = True,
        project: bool = True,
    ) -> None:
        super().__init__("nt_xent", model, between, project)
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        own = isinstance(getattr(model, "log_scale", None), nn.Parameter) and self._of_model
        self._of_models_scale = own and learnt
        if self._of_models_scale:
            self.reaches = (*(self.reaches or ()), "log_scale")
        else:
            scale = torch.tensor(-math.log(temperature))
            self.log_scale = nn.Parameter(scale, requires_grad=learnt)

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """The mean of both directions."""
        own = model.get_parameter("log_scale") if self._of_models_scale else self.log_scale
        scale = own.clamp(max=math.log(100.0)).exp()
        return {"nt_xent": both_directions(*self.vectors(model, batch), scale)}


def both_directions(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """NT-Xent of pairs, averaged over both directions, in float32 or float64.

    Args:
        x, y: (N, D) of any length; rows in one place belong together.
        scale: (), 1 / tau.
    """
    with in_float32(x.device):
        x, y = (z if z.dtype == torch.float64 else z.float() for z in (x, y))
        logits = functional.normalize(x, dim=-1) @ functional.normalize(y, dim=-1).T * scale
        own = torch.arange(len(logits), device=logits.device)
        one, other = functional.cross_entropy(logits, own), functional.cross_entropy(logits.T, own)
        return (one + other) / 2
