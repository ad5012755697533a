"""Prototypical modal rebalance (PMR): a modality that lags is drawn to the prototypes of classes.

Source: Fan et al., PMR: Prototypical Modal Rebalance for Multimodal Learning, CVPR 2023
(arXiv 2211.07089), sec. 3, and the authors' code (fanyunfeng-bit/Modal-Imbalance-PMR), whose
prototypes and p_u these are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbench.errors import MMBenchError
from mmbench.model import Decision, Losses, TaskModel
from mmbench.training.balance.base import (
    Balance,
    Look,
    against_the_others,
    cross_entropies,
    right_scores,
)
from mmbench.training.objectives.base import Epoch, encoder_of
from mmbench.zoo.precision import in_float32

_SHARE = 10  # one sample in so many makes prototypes, as in the authors' code
_EACH = 16  # samples of a class there should be, where there are so many


class PMR(Balance):
    """L + alpha sum_u beta_u PCE_u - mu sum_u gamma_u H(p_u), p_u = softmax_k of -|z_u - c_uk|.

    The heads are not learnt: z_u is a modality's pooled stream, c_uk the prototype of class k, the
    mean of z_u over samples of training, found before each epoch and mixed with the one before.
    PCE_u = -log p_u,y draws the samples of a modality to their prototypes, beta_u =
    clip(s_v / s_u - 1, 0, 1), with s_u the sum over the batch of p_u,y, as far as it lags behind
    the other; H is the entropy of one that is ahead, gamma_u = clip(s_u / s_v - 1, 0, 1), which
    keeps it from closing early, in the first epochs only.

    The code that the authors have published differs from that: beta_u is 1 as soon as a modality
    lags, PCE_u ends about half-way, and there is no entropy.

    Args:
        model: to be balanced; its classes must be known.
        alpha: of the prototypical cross-entropy; 1 by default in the authors' code, too.
        mu: of the entropy. No source for a value was found.
        early: share of the epochs in which the entropy counts. No source for one was found.
        momentum: of a prototype of the epoch before; 0.2 by default in the authors' code, too.
    """

    added_with = {"alpha": 1.0, "mu": 0.01, "early": 0.25, "momentum": 0.2}

    def __init__(
        self,
        model: TaskModel,
        alpha: float = 1.0,
        mu: float = 0.01,
        early: float = 0.25,
        momentum: float = 0.2,
    ) -> None:
        super().__init__(model)
        if model.classes is None:
            raise MMBenchError(
                "pmr compares samples with prototypes of classes, and here each sample has choices "
                "of its own. Choose another one of `mmbench list balance`"
            )
        if min(alpha, mu) < 0 or not 0 <= early <= 1 or not 0 <= momentum < 1:
            raise ValueError(
                "alpha and mu must be at least 0, early from 0 to 1 and momentum from 0 to below "
                f"1, got {alpha}, {mu}, {early} and {momentum}"
            )
        self._alpha, self._mu, self._early, self._momentum = alpha, mu, early, momentum
        self._is_early = False
        for modality in self.modalities:
            width = encoder_of(model, modality, "pmr").dim
            self.register_buffer(f"prototypes_{modality}", torch.zeros(model.classes, width))
            self.register_buffer(f"known_{modality}", torch.zeros(model.classes, dtype=torch.bool))

    def losses(self, model: TaskModel, decision: Decision) -> Losses:
        """The model's, what draws those that lag, and what holds those that are ahead."""
        logits = {modality: self.scores(modality, decision) for modality in self.modalities}
        known = torch.stack([decision.present[m] & self._has(m, decision) for m in logits])
        there = dict(zip(logits, known, strict=True))
        decision = Decision(**{**vars(decision), "present": there})
        ahead = against_the_others(right_scores(logits, decision))
        lags = (1 / ahead.clamp(min=_TINY) - 1).clamp(0, 1)
        found = dict(decision.losses)
        each = cross_entropies(logits, decision)
        for (modality, loss), beta in zip(each.items(), lags, strict=True):
            found[f"pmr.{modality}"] = self._alpha * beta * loss
        if self._is_early:
            leads = (ahead - 1).clamp(0, 1)
            for modality, gamma in zip(self.modalities, leads, strict=True):
                entropy = _entropy(logits[modality], there[modality])
                found[f"pmr.{modality}_entropy"] = -self._mu * gamma * entropy
        return found

    def scores(self, modality: str, decision: Decision) -> Tensor:
        """-|z - c_k| of each sample and class (B, C), in float32; lowest of unknown classes."""
        z = decision.streams[modality].pool()
        with in_float32(z.device):
            distance = torch.cdist(
                z.float(),
                self.get_buffer(f"prototypes_{modality}"),
                compute_mode="donot_use_mm_for_euclid_dist",
            )
        known = self.get_buffer(f"known_{modality}")
        return (-distance).masked_fill(~known, torch.finfo(distance.dtype).min)

    def _has(self, modality: str, decision: Decision) -> Tensor:
        """Of which samples (B,) the right class has a prototype."""
        return self.get_buffer(f"known_{modality}")[decision.target.clamp(min=0)]

    def before_epoch(self, model: TaskModel, epoch: Epoch, look: Look) -> None:
        self._is_early = epoch.number < self._early * epoch.epochs
        assert model.classes is not None
        wanted = max(len(epoch.train) // _SHARE, _EACH * model.classes)
        buffers = {m: self.get_buffer(f"prototypes_{m}") for m in self.modalities}
        sums = {m: torch.zeros_like(buffer) for m, buffer in buffers.items()}
        counts = {m: buffer.new_zeros(len(buffer)) for m, buffer in buffers.items()}
        for decision in look(epoch.train, wanted):
            for m in self.modalities:
                counted = decision.present[m] & (decision.target >= 0)
                target = decision.target.clamp(min=0)
                z = decision.streams[m].pool().float() * counted[:, None]
                sums[m].index_add_(0, target, z)
                counts[m].index_add_(0, target, counted.float())
        for m, buffer in buffers.items():
            found, known = counts[m] > 0, self.get_buffer(f"known_{m}")
            mean = sums[m] / counts[m].clamp(min=1)[:, None]
            mixed = (1 - self._momentum) * mean + self._momentum * buffer
            mixed = torch.where(known[:, None], mixed, mean)
            buffer.copy_(torch.where(found[:, None], mixed, buffer))
            known |= found


_TINY = torch.finfo(torch.float32).tiny


def _entropy(logits: Tensor, counted: Tensor) -> Tensor:
    """The mean entropy of softmax(logits) over the samples that are counted."""
    p = logits.softmax(1)
    each = -(p * logits.log_softmax(1)).sum(1)
    return (each * counted).sum() / counted.sum().clamp(min=1)
