"""The `Balance` contract: modalities kept in balance while a model is trained.

It stands beside the objectives and not in the zoo, since a method of balance is no part of a model:
it reads the losses and changes the gradients of a training, and at inference nothing of it is left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.data.sample import Sample
from mmbench.model import Decision, Losses, TaskModel
from mmbench.training.objectives.base import Epoch
from mmbench.zoo.precision import in_float32

Look = Callable[[Sequence[Sample], int | None], Iterator[Decision]]
"""Decisions about samples, or about so many of them drawn alike each time, as the model makes them
at inference."""

_NO_TARGET = -100


class Balance(nn.Module, ABC):
    """What a recipe's `balance` names, with any fusion, on tasks whose answers are classes.

    Registered under `mmbench.balance`. One is made for the stage that trains the task's loss and
    lives as long as that: its parameters (a head for each modality) are trained beside the model's
    and thrown away, its buffers are kept while a training is resumed; so what it needs of earlier
    epochs must be a buffer. A constructor takes `model` and options of its own, and raises
    ValueError for an option out of range, MMBenchError for a model that it cannot balance.

    Every method keeps this contract (`tests/training/test_balance_contract.py`):

    - its losses are finite, and those of the model are among them by the names that they have;
    - it leaves the model's weights, answers and parameters at inference as they are;
    - a training that was cut off ends as it would have;
    - a step reads nothing from the device, and what it draws is drawn by torch.

    Attributes:
        modalities: those of the model, in their order.
        version: raised when the same recipe comes to train otherwise.
    """

    version: int = 1

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        encoders = model.get_submodule("encoders")
        assert isinstance(encoders, nn.ModuleDict)
        self.modalities = tuple(encoders)

    @abstractmethod
    def losses(self, model: TaskModel, decision: Decision) -> Losses:
        """What is minimised in place of `decision.losses`, in training alone, in float32.

        Called before the gradients are; they may be asked for here (`torch.autograd.grad`), if the
        graph is retained.
        """

    def after_backward(self, model: TaskModel) -> None:
        """Called when the gradients are there, before they are clipped: to change them."""

    def before_epoch(self, model: TaskModel, epoch: Epoch, look: Look) -> None:
        """Called before each epoch: to look how far the modalities are."""


def unimodal_heads(model: TaskModel, modalities: Sequence[str]) -> nn.ModuleDict:
    """A classifier of each modality's stream, as the model's own is one of what is fused."""
    return nn.ModuleDict({modality: model.head(modality) for modality in modalities})


def alone(heads: nn.ModuleDict, decision: Decision, *, detached: bool = False) -> dict[str, Tensor]:
    """The logits (B, C) that each modality gives by itself, in float32.

    Args:
        heads: by modality.
        detached: whether the heads learn, and the encoders do not learn from them.
    """
    found = {}
    for modality, head in heads.items():
        stream = decision.streams[modality]
        if detached:
            stream = type(stream)(stream.tokens.detach(), stream.mask)
        found[modality] = decision.arranged(head(stream)).float()
    return found


def cross_entropies(
    logits: Mapping[str, Tensor], decision: Decision, prefix: str = ""
) -> dict[str, Tensor]:
    """By modality, the mean cross-entropy over the samples that have it and a right class."""
    found = {}
    for modality, scores in logits.items():
        target = decision.target.masked_fill(~decision.present[modality], _NO_TARGET)
        target = target.masked_fill(target < 0, _NO_TARGET)
        with in_float32(scores.device):
            total = functional.cross_entropy(
                scores, target, ignore_index=_NO_TARGET, reduction="sum"
            )
        found[prefix + modality] = total / (target >= 0).sum().clamp(min=1)
    return found


def right_scores(logits: Mapping[str, Tensor], decision: Decision) -> Tensor:
    """sum over samples of softmax(z)_y for each modality (M,): how much each knows by itself.

    Counted are samples that have every modality and a right class. No gradient.
    """
    counted = torch.stack([*decision.present.values(), decision.target >= 0]).all(0)
    target = decision.target.clamp(min=0)[:, None]
    each = [z.detach().softmax(1).gather(1, target)[:, 0] for z in logits.values()]
    return (torch.stack(each) * counted).sum(1)


def against_the_others(scores: Tensor) -> Tensor:
    """rho_u = s_u / mean of the others' s, (M,): of two modalities s_u / s_v.

    The papers are about two; of more, each is held against the mean of the others.
    """
    others = (scores.sum() - scores) / (len(scores) - 1)
    return scores / others.clamp(min=torch.finfo(scores.dtype).tiny)


def encoder_parameters(model: TaskModel, modality: str) -> list[nn.Parameter]:
    """What is trained of a modality's encoder."""
    encoder = model.get_submodule(f"encoders.{modality}")
    return [p for p in encoder.parameters() if p.requires_grad]
