"""A linear probe: logistic regression on features that stay as they are.

Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016
(arXiv 1610.01644); as Kornblith et al., Do Better ImageNet Models Transfer Better?, 2019 (arXiv
1805.08974), A.4: L-BFGS, the penalty chosen on validation among values a factor of ten apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PENALTIES = tuple(10.0**power for power in range(1, -7, -1))
_STEPS = 200  # of L-BFGS, for each penalty


@dataclass(frozen=True)
class Probe:
    """A classifier of features, argmax_c (x - mean) / deviation w_c + b_c.

    Attributes:
        mean, deviation: (F,), of the features that it was fitted on.
        weight, bias: (F, C), (C,).
        penalty: lambda, that was chosen.
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def classes(self, x: Tensor) -> Tensor:
        """The likeliest class of each row of features, (N,)."""
        return (((x - self.mean) / self.deviation) @ self.weight + self.bias).argmax(-1)


def fit_probe(x: Tensor, y: Tensor, validation: tuple[Tensor, Tensor], classes: int) -> Probe:
    """Fit min_w 1/N sum_i -log softmax(w x_i + b)[y_i] + lambda / 2 |w|^2 on normalised features.

    Args:
        x, y: (N, F) float32 and (N,) int64, to fit on.
        validation: the same, on which lambda is chosen: the strongest of the best.
        classes: C.
    """
    mean, deviation = x.mean(0), x.std(0).clamp(min=1e-6)
    scaled = (x - mean) / deviation
    weight = x.new_zeros(x.shape[1], classes).requires_grad_()
    bias = x.new_zeros(classes).requires_grad_()
    best, most = None, -1.0
    for penalty in PENALTIES:  # from the strongest on, each from where the one before ended
        _minimise(scaled, y, weight, bias, penalty)
        found = Probe(mean, deviation, weight.detach().clone(), bias.detach().clone(), penalty)
        right = (found.classes(validation[0]) == validation[1]).float().mean().item()
        if right > most:
            best, most = found, right
    assert best is not None
    return best


def _minimise(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, penalty: float) -> None:
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(x @ weight + bias, y)
        value = value + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
