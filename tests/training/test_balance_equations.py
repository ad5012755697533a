"""Each balancing method against its equations, by hand on a tiny linear model."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmbench.model import Decision, TaskModel
from mmbench.training.balance.g_blend import GBlend, blend
from mmbench.training.balance.mmpareto import MMPareto, integrate
from mmbench.training.balance.ogm_ge import OGMGE, modulation
from mmbench.training.balance.pmr import PMR
from mmbench.training.objectives.base import Epoch
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream

D, C, B = 3, 2, 6


class LinearEncoder(Encoder):
    modality = "any"

    def __init__(self):
        super().__init__()
        self.dim = D
        self.layer = nn.Linear(4, D)

    def read(self, values):
        raise NotImplementedError

    def forward(self, x, mask=None):
        return Stream.whole(self.layer(x)[:, None])


class Pooled(nn.Linear):
    def forward(self, stream):
        return super().forward(stream.pool())


class Tiny(TaskModel):
    """z = V (W_a a + W_b b), by a linear layer each."""

    classes = C
    fused_contexts = ("b",)

    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleDict({"a": LinearEncoder(), "b": LinearEncoder()})
        self.decoder = nn.Linear(D, C)

    def head(self, modality):
        return Pooled(D, C)

    def decide(self, batch, label_smoothing=0.0):
        streams = {name: encoder(batch[name]) for name, encoder in self.encoders.items()}
        logits = self.decoder(sum(stream.pool() for stream in streams.values()))
        return Decision(
            logits,
            batch["target"],
            {"answer": functional.cross_entropy(logits, batch["target"])},
            "answer",
            streams,
            {name: stream.present for name, stream in streams.items()},
            lambda logits: logits,
        )

    def losses(self, batch, label_smoothing=0.0):
        return self.decide(batch).losses

    def collate(self, queries):
        raise NotImplementedError

    def collate_training(self, samples, rng):
        raise NotImplementedError

    def answer(self, batch):
        raise NotImplementedError


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    model = Tiny()
    batch = {"a": 3 * torch.randn(B, 4), "b": torch.randn(B, 4)}
    return model, batch | {"target": torch.tensor([0, 1, 1, 0, 1, 0])}


def gradients(loss, model, modality):
    parameters = list(model.encoders[modality].parameters())
    return torch.autograd.grad(loss, parameters, retain_graph=True)


def step(method, model, batch):
    losses = method.losses(model, model.decide(batch))
    sum(losses.values()).backward()
    method.after_backward(model)
    return losses


def close(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def unimodal(method, model, batch):
    streams = model.decide(batch).streams
    return {name: method.heads[name](streams[name]) for name in streams}


def test_ogm_ge_is_equations_8_to_12(tiny):
    model, batch = tiny
    method = OGMGE(model, alpha=0.3)
    plain = {m: gradients(model.losses(batch)["answer"], model, m) for m in "ab"}
    scores = {
        m: sum(z[i].softmax(0)[batch["target"][i]].item() for i in range(B))
        for m, z in unimodal(method, model, batch).items()
    }
    rho = {"a": scores["a"] / scores["b"], "b": scores["b"] / scores["a"]}
    k = {m: 1 - math.tanh(0.3 * r) if r > 1 else 1.0 for m, r in rho.items()}
    assert sorted(k.values())[1] == 1.0 != sorted(k.values())[0]
    torch.manual_seed(7)
    step(method, model, batch)
    torch.manual_seed(7)
    for m in "ab":
        for parameter, g in zip(model.encoders[m].parameters(), plain[m], strict=True):
            close(parameter.grad, k[m] * g + torch.randn_like(g) * g.std())


def test_of_more_than_two_modalities_each_is_held_against_the_mean_of_the_others():
    k = modulation(torch.tensor([4.0, 1.0, 3.0]), 0.2)
    expected = [1 - math.tanh(0.2 * 2), 1, 1 - math.tanh(0.2 * 1.2)]
    close(k, torch.tensor(expected))


@pytest.mark.parametrize("conflict", [False, True])
def test_mmpareto_integrates_the_gradients_as_its_algorithm_says(tiny, conflict):
    model, batch = tiny
    method = MMPareto(model, gamma=1.5)
    for encoder in model.encoders.values():
        for parameter in encoder.parameters():  # nothing is decided yet: both losses ask the same
            parameter.data.mul_(0.01)
    model.decoder.bias.data.zero_()
    for m, head in method.heads.items():
        head.bias.data.zero_()
        # A head that decides as the model does, or always against it.
        head.weight.data = (-1 if conflict else 1) * model.decoder.weight.data.clone()
        own = functional.cross_entropy(unimodal(method, model, batch)[m], batch["target"])
        joint = model.losses(batch)["answer"]
        vectors = [torch.cat([g.flatten() for g in gradients(x, model, m)]) for x in (joint, own)]
        assert (vectors[0] @ vectors[1] < 0).item() is conflict
    expected = {}
    for m in "ab":
        own = functional.cross_entropy(unimodal(method, model, batch)[m], batch["target"])
        gm, gu = (
            torch.cat([g.flatten() for g in gradients(x, model, m)])
            for x in (model.losses(batch)["answer"], own)
        )
        shares = torch.linspace(0, 1, 100_001)[:, None]
        lengths = (shares * gm + (1 - shares) * gu).norm(dim=1)
        share = shares[lengths.argmin()] if conflict else torch.tensor([0.5])
        h = 2 * share * gm + 2 * (1 - share) * gu
        expected[m] = 1.5 * h * max(1.0, ((gm + gu).norm() / h.norm()).item())
        if not conflict:
            close(expected[m], 1.5 * (gm + gu))
    plain = torch.autograd.grad(model.losses(batch)["answer"], list(model.decoder.parameters()))
    step(method, model, batch)
    for m in "ab":
        found = torch.cat([p.grad.flatten() for p in model.encoders[m].parameters()])
        torch.testing.assert_close(found, expected[m], atol=1e-3, rtol=1e-3)
        own = functional.cross_entropy(unimodal(method, model, batch)[m], batch["target"])
        head = torch.autograd.grad(own, list(method.heads[m].parameters()))
        for parameter, g in zip(method.heads[m].parameters(), head, strict=True):
            close(parameter.grad, g)
    for parameter, g in zip(model.decoder.parameters(), plain, strict=True):
        close(parameter.grad, g)


def test_integrated_gradients_disturb_neither_loss():
    torch.manual_seed(0)
    for _ in range(20):
        joint, own = torch.randn(2, 50)
        found = integrate(joint, own, gamma=1.0)
        assert found @ joint > 0
        assert found @ own > 0
        assert found.norm() >= (joint + own).norm() - 1e-4


def test_g_blend_weighs_by_generalisation_over_overfitting_squared(tiny):
    model, batch = tiny
    method = GBlend(model, super_epoch=2)
    other = {"a": batch["a"] + 0.5, "b": batch["b"] - 1, "target": batch["target"].roll(1)}

    def look(samples, at_most):
        yield model.decide(batch if samples == "train" else other)

    def seen():
        found = []
        for these in (batch, other):
            decided = [model.decide(these).logits, *unimodal(method, model, these).values()]
            found.append([functional.cross_entropy(z, these["target"]).item() for z in decided])
        return found

    def before(number):
        with torch.no_grad():
            method.before_epoch(model, Epoch(number, 8, "train", "validation", 4, None), look)

    before(0)
    close(method.weights, torch.full((3,), 1 / 3))
    train, valid = seen()
    optimizer = torch.optim.SGD([*model.parameters(), *method.parameters()], lr=0.05)
    for _ in range(4):
        optimizer.zero_grad()
        step(method, model, other)
        optimizer.step()
    before(1)
    close(method.weights, torch.full((3,), 1 / 3))  # not before a super-epoch is over
    before(2)
    later_train, later_valid = seen()
    raw = []
    for i in range(3):
        generalised = max(valid[i] - later_valid[i], 0)
        overfitted = (later_valid[i] - later_train[i]) - (valid[i] - train[i])
        raw.append(generalised / overfitted**2)
    assert sum(raw) > 0
    torch.testing.assert_close(method.weights, torch.tensor(raw) / sum(raw), atol=1e-3, rtol=1e-3)
    losses = method.losses(model, model.decide(batch))
    close(losses["answer"], method.weights[0] * model.losses(batch)["answer"])
    for i, (m, z) in enumerate(unimodal(method, model, batch).items(), 1):
        own = functional.cross_entropy(z, batch["target"])
        close(losses[f"g_blend.{m}"], method.weights[i] * own)


def test_where_nothing_generalised_the_weights_stay():
    before = torch.ones(2, 3)
    weights = torch.tensor([0.2, 0.3, 0.5])
    assert torch.equal(blend(before, before + 1, weights), weights)


def test_pmr_draws_the_modality_that_lags_to_its_prototypes(tiny):
    model, batch = tiny
    method = PMR(model, alpha=0.7, mu=0.1, early=0.5, momentum=0.2)

    def look(samples, at_most):
        yield model.decide(batch)

    def features(m):
        return model.encoders[m](batch[m]).pool()

    prototypes = {}
    for number in (0, 1):
        for m in "ab":
            means = [features(m)[batch["target"] == c].mean(0).detach() for c in range(C)]
            mixed = torch.stack(means)
            prototypes[m] = 0.8 * mixed + 0.2 * prototypes[m] if number else mixed
        with torch.no_grad():
            method.before_epoch(model, Epoch(number, 4, [0] * B, [], 4, None), look)
            if number == 0:
                model.encoders["a"].layer.weight.mul_(0.9)
    p = {}
    for m in "ab":
        rows = [
            torch.stack([-(z - c).square().sum().sqrt() for c in prototypes[m]]).softmax(0)
            for z in features(m)
        ]
        p[m] = torch.stack(rows)
    right = {m: p[m][torch.arange(B), batch["target"]] for m in "ab"}
    rho = (right["a"].sum() / right["b"].sum()).item()
    lags = {"a": min(max(1 / rho - 1, 0), 1), "b": min(max(rho - 1, 0), 1)}
    leads = {"a": lags["b"], "b": lags["a"]}
    assert min(lags.values()) == 0 < max(lags.values())
    losses = method.losses(model, model.decide(batch))
    for m in "ab":
        close(losses[f"pmr.{m}"], 0.7 * lags[m] * -right[m].log().mean())
        entropy = -(p[m] * p[m].log()).sum(1).mean()
        close(losses[f"pmr.{m}_entropy"], -0.1 * leads[m] * entropy)
    with torch.no_grad():
        method.before_epoch(model, Epoch(2, 4, [0] * B, [], 4, None), look)
    assert not any("entropy" in name for name in method.losses(model, model.decide(batch)))
