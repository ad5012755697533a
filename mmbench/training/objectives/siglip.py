"""SigLIP: each of a batch's pairs is judged by itself, whether it belongs together.

Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023 (arXiv 2303.15343), eq. in
sec. 3.2 and algorithm 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.model import Batch, Losses, TaskModel
from mmbench.training.objectives.pairs import Projected
from mmbench.zoo.precision import in_float32


class SigLIP(Projected):
    """L = -1/N sum_ij log sigma(z_ij (t x_i . y_j + b)), z_ij = 1 where i = j, else -1.

    x and y are the pooled vectors of two modalities, projected and of length 1; t = exp(t') and b
    are learnt, and begin at 10 and -10, as most pairs do not belong together.

    Args:
        between: the two modalities; text and the first other one by default.
        project: whether the vectors are projected; see `Projected`.
    """

    added_with = {"between": None, "project": True}

    def __init__(
        self, model: TaskModel, between: list[str] | None = None, project: bool = True
    ) -> None:
        super().__init__("siglip", model, between, project)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def losses(self, model: TaskModel, batch: Batch) -> Losses:
        """The sum over each row's pairs, averaged over rows."""
        scale = self.log_scale.exp()
        return {"sigmoid": sigmoid_loss(*self.vectors(model, batch), scale, self.bias)}


def sigmoid_loss(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """SigLIP's loss of pairs, in float32 or float64.

    Args:
        x, y: (N, D) of any length; rows in one place belong together.
        scale, bias: (), t and b.
    """
    with in_float32(x.device):
        x, y = (z if z.dtype == torch.float64 else z.float() for z in (x, y))
        logits = functional.normalize(x, dim=-1) @ functional.normalize(y, dim=-1).T * scale + bias
        sign = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
        return -functional.logsigmoid(sign * logits).sum() / len(logits)
