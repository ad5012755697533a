"""Trusted multi-view classification (TMC): evidence, and how uncertain it leaves each modality.

Source: Han et al., Trusted Multi-View Classification, ICLR 2021 (arXiv 2102.02051), sec. 3:
opinions of evidence, the reduced rule of Dempster, and the losses. Equal to the authors' code
(hanmenghan/TMC) on the same logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.cost import Cost
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.precision import in_float32


class Opinion(NamedTuple):
    """What is believed of each class, and how much is left open: sum_k b_k + u = 1.

    Attributes:
        belief: b (B, C).
        uncertainty: u (B, 1).
    """

    belief: Tensor
    uncertainty: Tensor


class LateTrusted(LateFusion):
    """e = softplus(z), alpha = e + 1, S = sum alpha; opinions (e / S, K / S) joined by Dempster.

    The logits are the logs of the joint Dirichlet's mean, log(alpha / S). A modality that a sample
    lacks has no evidence, which leaves the joint opinion as it is.

    The losses are those of the paper, of the joint Dirichlet and of each modality's: `evidence`,
    the cross-entropy expected under it, and `divergence`, what evidence for wrong classes
    it holds, whose weight rises to 1 in the course of training. They are all that the paper trains
    by: a recipe that follows it has `losses: {task: 0}`.

    Args:
        modalities: their names.
        annealing: share of the epochs in which the weight of the divergence rises; the reference
            has 50 of 500.
    Shape: M logits (B, C) -> (B, C).
    """

    auxiliary = ("evidence", "divergence")
    family = "evidence"
    cost = Cost(parameters="0", operations="0")
    added_with = {"annealing": 0.1}

    def __init__(self, modalities: Sequence[str], annealing: float = 0.1) -> None:
        super().__init__(modalities)
        if not 0 <= annealing <= 1:
            raise ValueError(f"annealing must be from 0 to 1, got {annealing}")
        self._annealing = annealing
        self._annealed = 1.0  # lambda_t

    def before_epoch(self, epoch: int, epochs: int) -> None:
        """lambda_t = min(1, t / T), with epochs t counted from 1."""
        self._annealed = min(1.0, (epoch + 1) / max(self._annealing * epochs, 1))

    def forward(
        self, logits: Sequence[Tensor], present: Sequence[Tensor], target: Tensor | None = None
    ) -> Decoded:
        with in_float32(logits[0].device):
            there = [mask[:, None] for mask in present]  # (B, 1) each
            known = [
                z.float().masked_fill(~p, -torch.inf) for z, p in zip(logits, there, strict=True)
            ]
            # Classes that any modality finds possible; all of them where no modality is there.
            possible = torch.stack(known, 1).amax(1) > -torch.inf  # (B, C)
            possible = possible | ~possible.any(1, keepdim=True)
            classes = possible.sum(1, keepdim=True)  # K (B, 1)
            evidences = [functional.softplus(z) for z in known]
            joint, *others = (opinion_of(e, classes) for e in evidences)
            for other in others:
                joint = dempster(joint, other)
            alpha = classes / joint.uncertainty * joint.belief + 1  # S b + 1
            tiny = torch.finfo(alpha.dtype).tiny
            mean = alpha * possible / (alpha * possible).sum(1, keepdim=True)
            losses = {}
            if target is not None:
                each = [(evidence + 1, p) for evidence, p in zip(evidences, there, strict=True)]
                each.append((alpha, torch.ones_like(there[0])))
                losses = self._losses(each, possible, target)
            return Decoded(mean.clamp(min=tiny).log(), losses)

    def _losses(
        self, each: Sequence[tuple[Tensor, Tensor]], possible: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Means over the samples that have a target, of the sums over Dirichlets that are there."""
        known = (target >= 0)[:, None]
        right = target.clamp(min=0)[:, None]
        expected, divergence = [], []
        for alpha, there in each:
            counts = known & there
            expected.append(expected_cross_entropy(alpha, right, possible) * counts)
            divergence.append(divergence_of_the_wrong(alpha, right, possible) * counts)
        total = known.sum().clamp(min=1)
        return {
            "evidence": torch.stack(expected).sum() / total,
            "divergence": self._annealed * torch.stack(divergence).sum() / total,
        }


def opinion_of(evidence: Tensor, classes: Tensor) -> Opinion:
    """b_k = e_k / S and u = K / S, with S = sum_k (e_k + 1).

    Args:
        evidence: e (B, C), 0 where a class is impossible.
        classes: K (B, 1), how many are possible.
    """
    strength = evidence.sum(1, keepdim=True) + classes
    return Opinion(evidence / strength, classes / strength)


def dempster(one: Opinion, two: Opinion) -> Opinion:
    """The reduced rule of Dempster.

    b_k = (b1_k b2_k + b1_k u2 + b2_k u1) / (1 - C) and u = u1 u2 / (1 - C), where 1 - C, C being
    the conflict sum_{i != j} b1_i b2_j, is what the numerators sum to.
    """
    agreed = one.belief * two.belief
    agreed = agreed + one.belief * two.uncertainty + two.belief * one.uncertainty
    left_open = one.uncertainty * two.uncertainty
    scale = agreed.sum(1, keepdim=True) + left_open
    return Opinion(agreed / scale, left_open / scale)


def expected_cross_entropy(alpha: Tensor, right: Tensor, possible: Tensor) -> Tensor:
    """psi(S) - psi(alpha_y): the cross-entropy, integrated over the Dirichlet.

    Args:
        alpha: (B, C) of the Dirichlet.
        right: y (B, 1).
        possible: (B, C), the classes that there are.
    Returns: (B, 1).
    """
    strength = (alpha * possible).sum(1, keepdim=True)
    return strength.digamma() - alpha.gather(1, right).digamma()


def divergence_of_the_wrong(alpha: Tensor, right: Tensor, possible: Tensor) -> Tensor:
    """KL( D(p | alpha~) || D(p | 1) ), where alpha~ is alpha with a 1 for the right class.

    Args and returns: as of `expected_cross_entropy`.
    """
    alpha = alpha.scatter(1, right, 1)
    strength = (alpha * possible).sum(1, keepdim=True)
    classes = possible.sum(1, keepdim=True)
    pulled = (alpha - 1) * (alpha.digamma() - strength.digamma())
    norms = strength.lgamma() - classes.float().lgamma() - (alpha.lgamma() * possible).sum(1, True)
    return norms + (pulled * possible).sum(1, keepdim=True)
