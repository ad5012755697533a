"""MMPareto: unimodal losses help the encoders where they do not disturb the joint one.

Source: Wei and Hu, MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance, ICML
2024 (arXiv 2405.17730), sec. 3.3 and algorithm 1, and the authors' code
(GeWu-Lab/MMPareto_ICML2024), which this equals on an encoder of one tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.model import Decision, Losses, TaskModel
from mmbench.training.balance.base import (
    Balance,
    alone,
    cross_entropies,
    encoder_parameters,
    unimodal_heads,
)
from mmbench.zoo.precision import in_float32


class MMPareto(Balance):
    """h = 2 a g_m + 2 (1 - a) g_u, a = 1/2, or argmin |a g_m + (1 - a) g_u| where they conflict.

    g_m and g_u are the gradients of an encoder, of the model's loss and of that of a head on its
    modality alone; they conflict if g_m g_u < 0. The encoder gets h gamma max(1, |g_m + g_u|/|h|):
    a direction in which both losses fall, not shorter than the sum. Fusion, decoder and heads
    get their own gradients. Lengths are of an encoder's whole gradient; the authors' code lengthens
    each of its tensors by itself.

    Args:
        model: to be balanced.
        gamma: by which gradients of the encoders are lengthened, 1.5 in the paper.
    """

    added_with = {"gamma": 1.5}

    def __init__(self, model: TaskModel, gamma: float = 1.5) -> None:
        super().__init__(model)
        if gamma <= 0:
            raise ValueError(f"gamma must be greater than 0, got {gamma}")
        self._gamma = gamma
        self.heads = unimodal_heads(model, self.modalities)
        self._unimodal: list[tuple[nn.Parameter, Tensor | None]] = []  # gradients of this step

    def losses(self, model: TaskModel, decision: Decision) -> Losses:
        """The model's; those of the heads hand their gradients over in `after_backward`."""
        each = cross_entropies(alone(self.heads, decision), decision, "mmpareto.")
        self._unimodal = []
        for modality, loss in zip(self.modalities, each.values(), strict=True):
            learners = encoder_parameters(model, modality)
            learners += self.heads[modality].parameters()
            with in_float32(loss.device):
                found = torch.autograd.grad(loss, learners, retain_graph=True, allow_unused=True)
            self._unimodal += zip(learners, found, strict=True)
        return decision.losses | {name: loss.detach() for name, loss in each.items()}

    def after_backward(self, model: TaskModel) -> None:
        unimodal = {id(parameter): gradient for parameter, gradient in self._unimodal}
        for parameter in self.heads.parameters():
            parameter.grad = unimodal[id(parameter)]
        for modality in self.modalities:
            parameters = encoder_parameters(model, modality)
            if not parameters:
                continue
            joint = _joined([p.grad for p in parameters], parameters)
            own = _joined([unimodal[id(p)] for p in parameters], parameters)
            integrated = integrate(joint, own, self._gamma)
            sizes = [p.numel() for p in parameters]
            for parameter, gradient in zip(parameters, integrated.split(sizes), strict=True):
                parameter.grad = torch.empty_like(parameter).copy_(gradient.view(parameter.shape))
        self._unimodal = []


def integrate(joint: Tensor, own: Tensor, gamma: float) -> Tensor:
    """What an encoder gets of the gradients g_m and g_u, (n,) each.

    >>> integrate(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0]), gamma=1.0)  # in conflict
    tensor([0.4472, 0.8944])
    """
    difference = joint - own
    shortest = (own @ (own - joint) / (difference @ difference).clamp(min=_TINY)).clamp(0, 1)
    a = torch.where(joint @ own < 0, shortest, 0.5)
    h = 2 * a * joint + 2 * (1 - a) * own
    longer = (joint + own).norm() / h.norm().clamp(min=_TINY)
    return gamma * longer.clamp(min=1) * h


_TINY = torch.finfo(torch.float32).tiny


def _joined(gradients: list[Tensor | None], parameters: list[nn.Parameter]) -> Tensor:
    """The gradients of an encoder's parameters as one vector; zeros where there is none."""
    pairs = zip(gradients, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])
