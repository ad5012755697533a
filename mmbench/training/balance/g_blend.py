"""Gradient-Blending: losses weighed by how much each modality generalises and overfits.

Source: Wang et al., What Makes Training Multi-Modal Classification Networks Hard?, CVPR 2020
(arXiv 1905.12681), sec. 3: the overfitting-to-generalisation ratio, and online G-Blend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.model import Decision, Losses, TaskModel
from mmbench.training.balance.base import (
    Balance,
    Look,
    alone,
    cross_entropies,
    unimodal_heads,
)
from mmbench.training.objectives.base import Epoch

_LEAST = 1e-3  # of overfitting, in nats: what is measured is no finer


class GBlend(Balance):
    """L = w_0 L_fused + sum_i w_i L_i, with w_i ~ G_i / O_i^2 of the last epochs, sum w = 1.

    L_i is the loss of a head on one modality's stream, from which its encoder learns too. Between
    two looks, n and N, G = L*_n - L*_N is what the loss on validation fell by (generalisation), and
    O = (L*_N - L_N) - (L*_n - L_n) how its gap to the loss on train grew (overfitting). A loss that
    did not generalise has no weight; where none did, the weights stay as they are. They begin
    equal.

    The paper measures each modality by training a copy of its own for those epochs; here the heads
    of the one model are looked at as they train, which costs two looks and no training.

    Args:
        model: to be balanced.
        super_epoch: epochs from one look to the next.
    """

    added_with = {"super_epoch": 2}
    weights: Tensor
    seen: Tensor

    def __init__(self, model: TaskModel, super_epoch: int = 2) -> None:
        super().__init__(model)
        if super_epoch < 1:
            raise ValueError(f"super_epoch must be at least 1, got {super_epoch}")
        self._super_epoch = super_epoch
        self.heads = unimodal_heads(model, self.modalities)
        count = 1 + len(self.modalities)
        self.register_buffer("weights", torch.full((count,), 1 / count))
        self.register_buffer("seen", torch.zeros(2, count))  # on train and on validation

    def losses(self, model: TaskModel, decision: Decision) -> Losses:
        """The model's and the heads', weighed."""
        found = dict(decision.losses)
        found[decision.own] = self.weights[0] * found[decision.own]
        each = cross_entropies(alone(self.heads, decision), decision, "g_blend.")
        return found | {
            name: weight * loss
            for (name, loss), weight in zip(each.items(), self.weights[1:], strict=True)
        }

    def before_epoch(self, model: TaskModel, epoch: Epoch, look: Look) -> None:
        if epoch.number % self._super_epoch:
            return
        if not epoch.validation:
            raise MMBenchError("g_blend weighs losses by those on validation: give it such samples")
        seen = torch.stack([self._mean(look, part) for part in self._parts(epoch)])
        if epoch.number:
            self.weights.copy_(blend(self.seen, seen, self.weights))
        self.seen.copy_(seen)

    def _parts(self, epoch: Epoch) -> Iterator[tuple[Sequence[Sample], int]]:
        """Of train as many samples as there are in validation, and validation."""
        yield epoch.train, len(epoch.validation)
        yield epoch.validation, len(epoch.validation)

    def _mean(self, look: Look, part: tuple[Sequence[Sample], int]) -> Tensor:
        """The mean of each loss (1 + M,), the fused one first."""
        total, count = torch.zeros_like(self.weights), 0
        for decision in look(*part):
            each = cross_entropies(alone(self.heads, decision), decision)
            losses = torch.stack([decision.losses[decision.own], *each.values()])
            total += losses * len(decision.target)
            count += len(decision.target)
        return total / max(count, 1)


def blend(before: Tensor, now: Tensor, weights: Tensor) -> Tensor:
    """w_i ~ G_i / O_i^2, normalised.

    Args:
        before, now: losses on train and on validation (2, n) at two times.
        weights: (n,), kept where nothing generalised.

    >>> before, now = torch.tensor([[2.0, 2.0], [2.0, 2.0]]), torch.tensor([[1.0, 1.5], [1.5, 1.6]])
    >>> blend(before, now, torch.ones(2) / 2)  # 0.5 / 0.5^2 and 0.4 / 0.1^2
    tensor([0.0476, 0.9524])
    """
    generalised = (before[1] - now[1]).clamp(min=0)
    overfitted = (now[1] - now[0]) - (before[1] - before[0])
    found = generalised / overfitted.abs().clamp(min=_LEAST) ** 2
    total = found.sum()
    return torch.where(total > 0, found / total.clamp(min=torch.finfo(found.dtype).tiny), weights)
