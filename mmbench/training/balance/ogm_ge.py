"""On-the-fly gradient modulation with generalisation enhancement (OGM-GE).

Source: Peng et al., Balanced Multimodal Learning via On-the-fly Gradient Modulation, CVPR 2022
(arXiv 2203.15332), eq. 8-10 and 12, and the authors' code (GeWu-Lab/OGM-GE_CVPR2022), whose
coefficients these are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbench.model import Decision, Losses, TaskModel
from mmbench.training.balance.base import (
    Balance,
    against_the_others,
    alone,
    cross_entropies,
    encoder_parameters,
    right_scores,
    unimodal_heads,
)


class OGMGE(Balance):
    """k_u = 1 - tanh(alpha rho_u) if rho_u > 1, else 1; g_u <- k_u g_u + N(0, std(g_u)^2).

    rho_u = s_u / s_v, with s_u = sum over the batch of softmax(z_u)_y, says how far ahead of the
    other a modality is; the gradient g_u of its encoder is made smaller, and noise of the
    gradient's own size is added to that of every encoder. The paper reads z_u off the linear layer
    that joins the modalities; here a head learns it from each modality's stream, and hands no
    gradient to the encoder, so that it serves any fusion.

    AdamW divides a gradient by its usual size, so that a coefficient acts as it differs from step
    to step; the paper trains by SGD. The authors' code does this to kernels of convolutions alone,
    and in the first half of its epochs; here to all parameters of an encoder, in every epoch.

    Args:
        model: to be balanced.
        alpha: how strongly gradients are modulated; the authors' code recommends 0.1 for VGGSound
            and 0.8 for CREMA-D, by how far apart the modalities of a dataset are.
    """

    added_with = {"alpha": 0.5}

    def __init__(self, model: TaskModel, alpha: float = 0.5) -> None:
        super().__init__(model)
        if alpha <= 0:
            raise ValueError(f"alpha must be greater than 0, got {alpha}")
        self._alpha = alpha
        self.heads = unimodal_heads(model, self.modalities)
        self._coefficients = torch.ones(len(self.modalities))  # of this step

    def losses(self, model: TaskModel, decision: Decision) -> Losses:
        """The model's, and those by which the heads learn."""
        logits = alone(self.heads, decision, detached=True)
        self._coefficients = modulation(right_scores(logits, decision), self._alpha)
        return decision.losses | cross_entropies(logits, decision, "ogm_ge.")

    def after_backward(self, model: TaskModel) -> None:
        for modality, k in zip(self.modalities, self._coefficients, strict=True):
            for parameter in encoder_parameters(model, modality):
                if (gradient := parameter.grad) is not None:
                    deviation = gradient.std() if gradient.numel() > 1 else 0.0
                    noise = torch.randn_like(gradient) * deviation
                    parameter.grad = k * gradient + noise


def modulation(scores: Tensor, alpha: float) -> Tensor:
    """k of each modality (M,), eq. 10, of what each knows by itself (M,).

    >>> modulation(torch.tensor([2.0, 1.0]), 0.5)
    tensor([0.2384, 1.0000])
    """
    rho = against_the_others(scores)
    return torch.where(rho > 1, 1 - torch.tanh(alpha * rho), 1.0)
