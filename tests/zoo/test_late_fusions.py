"""Each fusion of decisions against its equations, and against its authors' code where there is."""

import math

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from mmbench.errors import MMBenchError
from mmbench.zoo.fusion.late_learnt import LateLearnt
from mmbench.zoo.fusion.late_trusted import LateTrusted, Opinion, dempster
from mmbench.zoo.part import build_part

LOGITS = [
    torch.tensor([[2.0, -1.0, 0.5], [0.3, 3.0, -2.0]]),
    torch.tensor([[-0.5, 1.5, 0.0], [1.0, 1.2, 4.0]]),
    torch.tensor([[6.0, -3.0, 0.2], [0.0, 0.0, 0.0]]),
]
TARGET = torch.tensor([0, 1])
THERE = [torch.ones(2, dtype=torch.bool)] * 3


def close(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_learnt_weights_are_the_logarithmic_opinion_pool():
    """p ~ prod_i p_i^w_i over those that are there, whose weights sum to one."""
    module = LateLearnt(("a", "b", "c"))
    module.scores.data = torch.tensor([0.2, -1.0, 0.7])
    present = [THERE[0], torch.tensor([True, False]), THERE[2]]
    found = module(LOGITS, present)
    for sample, those in enumerate(([0, 1, 2], [0, 2])):
        total = sum(math.exp(module.scores[i].item()) for i in those)
        product = torch.ones(3)
        for i in those:
            product *= LOGITS[i][sample].softmax(0) ** (math.exp(module.scores[i].item()) / total)
        close(found.logits[sample].softmax(0), product / product.sum())
    assert found.shares[1, 0, 1] == 0
    close(found.shares.sum(-1), torch.ones(2, 1))


def test_learnt_weights_begin_equal():
    found = LateLearnt(("a", "b", "c"))(LOGITS, THERE)
    close(found.shares, torch.full((2, 1, 3), 1 / 3))


def test_a_class_that_is_impossible_spoils_no_gradient():
    module = LateLearnt(("a", "b", "c"))
    logits = [torch.cat([x, torch.full((2, 1), -torch.inf)], 1) for x in LOGITS]
    loss = torch.nn.functional.cross_entropy(module(logits, THERE).logits, TARGET)
    loss.backward()
    assert module.scores.grad.isfinite().all()


# What hanmenghan/TMC (TMC ICLR/model.py, at 2f41653) gives of these logits, its KL on the CPU.
REFERENCE_ALPHA = [
    [15.816241264343262, 3.2764313220977783, 4.193857192993164],
    [4.821998596191406, 9.07802677154541, 7.005226135253906],
]
REFERENCE_LOSS = {5: 4.02496481, 50: 6.15902805, 400: 6.15902805}  # by epoch, of 50 annealed


def trusted(epoch=None, epochs=500):
    module = LateTrusted(("a", "b", "c")).train()
    if epoch is not None:
        module.before_epoch(epoch - 1, epochs)
    return module(LOGITS, THERE, TARGET)


def test_trusted_is_the_reference_of_its_authors():
    alpha = torch.tensor(REFERENCE_ALPHA)
    close(trusted().logits.exp(), alpha / alpha.sum(1, keepdim=True))
    for epoch, loss in REFERENCE_LOSS.items():
        close(sum(trusted(epoch).losses.values()), torch.tensor(loss))


def test_trusted_is_dempsters_rule_written_out():
    """b_k = (b1_k b2_k + b1_k u2 + b2_k u1) / (1 - C), C = sum of b1_i b2_j over i != j."""
    one, two = (torch.nn.functional.softplus(x[0]) for x in LOGITS[:2])
    b1, u1 = one / (one.sum() + 3), 3 / (one.sum() + 3)
    b2, u2 = two / (two.sum() + 3), 3 / (two.sum() + 3)
    conflict = sum(b1[i] * b2[j] for i in range(3) for j in range(3) if i != j)
    belief = torch.stack([(b1[k] * b2[k] + b1[k] * u2 + b2[k] * u1) for k in range(3)])
    belief, left_open = belief / (1 - conflict), u1 * u2 / (1 - conflict)
    found = dempster(Opinion(b1[None], u1[None, None]), Opinion(b2[None], u2[None, None]))
    close(found.belief[0], belief)
    close(found.uncertainty[0, 0], left_open)
    close(belief.sum() + left_open, torch.tensor(1.0))
    strength = 3 / left_open
    alpha = belief * strength + 1
    joint = LateTrusted(("a", "b"))(LOGITS[:2], THERE[:2])
    close(joint.logits[0].exp(), alpha / alpha.sum())


def test_trusted_losses_are_the_integrals_over_dirichlets():
    """The expected cross-entropy by sampling, the divergence by torch's formula."""
    torch.manual_seed(0)
    found = LateTrusted(("a",)).train()(LOGITS[:1], THERE[:1], TARGET).losses
    alpha = torch.nn.functional.softplus(LOGITS[0]) + 1
    sampled = -Dirichlet(alpha).sample((200_000,))[:, [0, 1], TARGET].log().mean()
    assert found["evidence"].item() == pytest.approx(2 * sampled.item(), rel=0.01)
    wrong = alpha.clone()
    wrong[[0, 1], TARGET] = 1
    divergence = kl_divergence(Dirichlet(wrong), Dirichlet(torch.ones(2, 3))).mean()
    close(found["divergence"], 2 * divergence)  # of the modality, and of the joint, which it is


def test_without_evidence_nothing_is_preferred_and_one_that_is_missing_changes_nothing():
    module = LateTrusted(("a", "b"))
    nothing = [torch.zeros(2, dtype=torch.bool)] * 2
    close(module(LOGITS[:2], nothing).logits.exp(), torch.full((2, 3), 1 / 3))
    alone = LateTrusted(("a",))(LOGITS[:1], THERE[:1]).logits
    close(module(LOGITS[:2], [THERE[0], nothing[0]]).logits, alone)


def test_classes_that_only_other_samples_have_change_no_answer_and_no_loss():
    """Choices are padded with minus infinity to the most that a sample of the batch has."""
    padded = [torch.cat([x, torch.full((2, 2), -torch.inf)], 1) for x in LOGITS]
    module = LateTrusted(("a", "b", "c")).train()
    plain, wider = module(LOGITS, THERE, TARGET), module(padded, THERE, TARGET)
    close(wider.logits[:, :3], plain.logits)
    for name, loss in plain.losses.items():
        close(wider.losses[name], loss)


def test_the_weight_of_the_divergence_rises_in_training():
    weights = [trusted(epoch, epochs=40).losses["divergence"].item() for epoch in (1, 2, 4, 9)]
    assert weights[0] * 2 == pytest.approx(weights[1])
    assert weights[1] * 2 == pytest.approx(weights[2])
    assert weights[2] == weights[3]


def test_a_share_of_annealing_that_is_none_is_refused():
    with pytest.raises(MMBenchError, match="annealing must be from 0 to 1"):
        build_part("late_fusions", "late_trusted", {"annealing": 1.5}, modalities=("a", "b"))
