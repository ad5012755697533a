"""What every fusion of decisions must keep: see `mmbench.zoo.fusion.late.LateFusion`."""

import inspect

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.fusion.late import LateFusion

B, C = 4, 5
NAMES = ("text", "image", "audio")


def by_name(name):
    return by_class(registry.load("late_fusions", name))


def by_class(cls):
    """A way to make the fusion: `make(seed)`."""

    def make(seed=0):
        torch.manual_seed(seed)
        known = {"classes": C} if "classes" in inspect.signature(cls).parameters else {}
        return cls(modalities=NAMES, **known).eval()

    return make


def decisions(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, C, generator=generator, requires_grad=True) for _ in NAMES]


def all_there():
    return [torch.ones(B, dtype=torch.bool) for _ in NAMES]


def close(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def check_shapes(make):
    """Logits of all classes; declared losses, in training alone; shares of each modality."""
    target = torch.tensor([0, 3, 2, -100])
    for training in (True, False):
        module = make().train(training)
        given = module(decisions(), all_there(), target if training else None)
        assert isinstance(given, Decoded)
        assert given.logits.shape == (B, C)
        assert given.logits.isfinite().all()
        assert set(given.losses) == (set(module.auxiliary) if training else set())
        assert all(loss.ndim == 0 and loss.isfinite() for loss in given.losses.values())
        if given.shares is not None:
            assert given.shares.shape == (B, 1, len(NAMES))
            assert given.shares.isfinite().all()


def check_missing(make):
    """What a modality says that a sample lacks changes nothing, and nothing becomes NaN."""
    for missing in ((0,), (1, 2), (0, 1, 2)):
        module = make()
        present = all_there()
        for i in missing:
            present[i][1] = False
        logits = decisions()
        out = module(logits, present).logits
        assert out.isfinite().all()
        out.square().sum().backward()
        assert all(x.grad is None or x.grad.isfinite().all() for x in logits)
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        for rubbish in (1e6, float("nan")):
            changed = [x.detach().clone() for x in logits]
            for i in missing:
                changed[i][1] = rubbish
            close(out.detach(), module(changed, present).logits.detach())
        whole = module(decisions(), all_there()).logits
        close(out[[0, 2, 3]], whole[[0, 2, 3]])
        assert not torch.allclose(out[1], whole[1])


def check_impossible_classes(make):
    """A class that no modality thinks possible is never above another one."""
    logits = [x.detach().clone() for x in decisions()]
    for x in logits:
        x[:, 4] = -torch.inf
    out = make()(logits, all_there()).logits
    assert not out.isnan().any()
    assert (out[:, 4:] <= out[:, :4]).all()


def check_parameters(make):
    """Gradients reach every modality and every parameter, and no tensor besides."""
    module = make().train()
    logits = decisions()
    given = module(logits, all_there(), torch.tensor([0, 3, 2, 1]))
    total = (given.logits * torch.randn(B, C)).sum() + sum(given.losses.values())
    total.backward()
    for tensor in [*logits, *module.parameters()]:
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    one, other = make(seed=0), make(seed=1)
    other.load_state_dict(one.state_dict())
    close(one(logits, all_there()).logits, other(logits, all_there()).logits)


def check_determinism(make):
    module = make()
    one = module(decisions(), all_there()).logits
    torch.manual_seed(77)
    assert torch.equal(one, module(decisions(), all_there()).logits)


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


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
