"""A training by several processes, each on its share of every batch: the steps of one process.

Losses are means over terms (answers, words) of which shares hold more or fewer, so that each
counts by its terms; gradients are summed. Batch norms take the mean and variance of the whole
batch, as Ioffe and Szegedy 2015 (arXiv 1502.03167), algorithm 1, over the shares of all processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.model import Losses
from mmbench.processes import Processes, here


def by_terms(losses: Losses, terms: Mapping[str, Tensor | int], processes: Processes) -> Losses:
    """Losses of a share, each a mean, as parts of the mean over all shares.

    Args:
        losses: by name, scalars.
        terms: of how many each is a mean; that of names that are not there is under "".
    """
    device = next(iter(losses.values())).device
    own = torch.stack(
        [torch.as_tensor(terms.get(name, terms.get("", 0)), device=device) for name in losses]
    ).float()
    parts = own / processes.sum(own.clone()).clamp(min=1)
    # A mean of nothing is NaN: it is no part, and neither is its gradient.
    return {
        name: torch.where(part > 0, loss, torch.zeros_like(loss)) * part
        for (name, loss), part in zip(losses.items(), parts, strict=True)
    }


def sum_gradients(parameters: Sequence[nn.Parameter], processes: Processes) -> None:
    """Give each parameter the sum of its gradients in all processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients or not processes.several:
        return
    flat = processes.sum(torch.cat([gradient.flatten() for gradient in gradients]))
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, found in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(found.view_as(gradient))


def norms_of_all(model: nn.Module) -> None:
    """Let the batch norms of a model see the shares of all processes; their weights stay theirs."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(module, name, _of_all(child))


def _of_all(norm: nn.modules.batchnorm._BatchNorm) -> BatchNormOfAll:
    made = BatchNormOfAll.__new__(BatchNormOfAll)
    nn.Module.__init__(made)
    made.__dict__.update(norm.__dict__)  # the same parameters and buffers, by the same names
    return made


def norms_apart(model: nn.Module, apart: bool) -> None:
    """Let the batch norms see this process's batch alone, where each process has all samples."""
    for module in model.modules():
        if isinstance(module, BatchNormOfAll):
            module.apart = apart


class BatchNormOfAll(nn.modules.batchnorm._BatchNorm):
    """A batch norm over the batch of all processes; at inference as any other.

    Attributes:
        apart: whether it is as any other in training too.
    """

    apart = False

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same."""
        if self.apart or not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        dims = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = here().sum(x.new_tensor(x.numel() / x.shape[1]))
        mean = _Sum.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dims)) / count
        if self.track_running_stats and self.running_mean is not None:
            self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        step = self.momentum
        if step is None:
            step = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


class _Sum(torch.autograd.Function):
    """A sum over all processes; whatever each makes of it has a gradient in every summand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return here().sum(x.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return here().sum(gradients[0].clone(memory_format=torch.contiguous_format))
