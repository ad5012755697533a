"""What every fusion of decisions must keep: see `mmbench.zoo.fusion.late.LateFusion`."""

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.checks.late_fusion import (
    CHECKS,
    NAMES,
    B,
    C,
    all_there,
    check_impossible_classes,
    check_missing,
    check_parameters,
    check_shapes,
    decisions,
    late_fusion_maker,
)
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.late import LateFusion
from tests.zoo.test_fusion_contract import close


def by_name(name):
    return late_fusion_maker(name, {})


def by_class(cls):
    """A way to make the fusion: `make(seed)`."""

    def make(seed=0):
        torch.manual_seed(seed)
        return cls(modalities=NAMES).eval()

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", registry.names("late_fusions"))
def test_the_contract(name, check):
    check(by_name(name))


class Weighted(LateFusion):
    """A learnt weight a modality; the base of the wrong ones, and itself right."""

    def __init__(self, modalities):
        super().__init__(modalities)
        self.weights = nn.Parameter(torch.randn(len(self.modalities)).exp())

    def weighted(self, logits, present):
        parts = zip(self.weights, logits, present, strict=True)
        return sum(w * x.masked_fill(~p[:, None], 0) for w, x, p in parts)

    def forward(self, logits, present, target=None):
        return Decoded(self.weighted(logits, present))


class CountsTheMissing(Weighted):
    """Multiplies what is missing by zero, which leaves a NaN one."""

    def weighted(self, logits, present):
        parts = zip(self.weights, logits, present, strict=True)
        return sum(w * x * p[:, None] for w, x, p in parts)


class DeafToTheLast(Weighted):
    """Leaves a modality out."""

    def weighted(self, logits, present):
        return super().weighted([*logits[:-1], torch.zeros(B, C)], present)


class PlainWeights(Weighted):
    """Keeps its weights where no optimizer finds them."""

    def __init__(self, modalities):
        super().__init__(modalities)
        del self.weights
        self.weights = [torch.randn(()) for _ in modalities]


class UndeclaredLoss(Weighted):
    """Gives a loss that no recipe can know of."""

    def forward(self, logits, present, target=None):
        fused = self.weighted(logits, present)
        return Decoded(fused, {"balance": fused.square().mean()})


class OddLikesTheImpossible(Weighted):
    """Takes the negative of the sum where it should take the sum."""

    def weighted(self, logits, present):
        return -super().weighted(logits, present)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_what_the_wrong_ones_are_made_from_is_right(check):
    check(by_class(Weighted))


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (CountsTheMissing, check_missing),
        (DeafToTheLast, check_parameters),
        (PlainWeights, check_parameters),
        (UndeclaredLoss, check_shapes),
        (OddLikesTheImpossible, check_impossible_classes),
    ],
)
def test_a_wrong_late_fusion_is_caught(wrong, check):
    with pytest.raises(AssertionError):
        check(by_class(wrong))


def test_the_mean_of_decisions_is_the_formula():
    """log of the mean of the softmaxes of those that are there."""
    module = by_name("late_mean")()
    logits, present = decisions(), all_there()
    present[0][2] = False
    found = module(logits, present)
    chances = torch.stack([x.softmax(-1) for x in logits])
    expected = chances.mean(0)
    expected[2] = chances[1:, 2].mean(0)
    close(found.logits.exp(), expected)
    close(found.shares[:, 0], torch.tensor([[1 / 3] * 3] * 2 + [[0, 0.5, 0.5]] + [[1 / 3] * 3]))
