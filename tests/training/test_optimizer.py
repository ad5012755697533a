"""Optimizers that a recipe names: which parameters they train, and what they are made with."""

import pytest
import torch
from torch import nn

from mmbench.errors import MMBenchError
from mmbench.optimizers import OPTIMIZERS
from mmbench.recipe import Train, load_recipe
from mmbench.training.optimizer import optimizer_for
from mmbench.yaml_file import validate

MUON = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
NAMES = [pytest.param(name, marks=MUON) if name == "muon" else name for name in OPTIMIZERS]


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(5, 4),
        nn.Linear(4, 3),
        nn.LayerNorm(3),
        nn.Unflatten(1, (3, 1)),
        nn.Conv1d(3, 2, 1),
    )


def after_steps(model, optimizer, steps=3):
    """Its parameters after some steps on fixed gradients."""
    for step in range(steps):
        for number, parameter in enumerate(model.parameters()):
            drawn = torch.Generator().manual_seed(100 * step + number)
            parameter.grad = torch.randn(parameter.shape, generator=drawn)
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_trains_every_parameter_once_and_decays_matrices_alone(name):
    model = network()
    optimizer = optimizer_for(model, Train(optimizer=name, weight_decay=0.1))
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert len(held) == len({id(p) for p in held})
    decayed = {
        id(p) for g in optimizer.param_groups for p in g["params"] if g["weight_decay"] == 0.1
    }
    assert decayed == {id(model[1].weight), id(model[4].weight)}


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_on_where_it_was_to_the_last_bit(name):
    settings = Train(optimizer=name, lr=0.01)
    whole = network()
    expected = after_steps(whole, optimizer_for(whole, settings), 3)
    cut = network()
    first = optimizer_for(cut, settings)
    after_steps(cut, first, 2)
    second = optimizer_for(cut, settings)
    second.load_state_dict(first.state_dict())
    for number, parameter in enumerate(cut.parameters()):
        drawn = torch.Generator().manual_seed(200 + number)
        parameter.grad = torch.randn(parameter.shape, generator=drawn)
    second.step()
    assert all(torch.equal(a, b) for a, b in zip(expected, cut.parameters(), strict=True))


def test_sgd_and_adafactor_are_torchs_with_the_options_asked_for():
    cases = {
        "sgd": (
            {"momentum": 0.5, "nesterov": True},
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5, nesterov=True),
        ),
        "adafactor": (
            {"beta2_decay": -0.5, "eps": 0.01, "clip": 2.0},
            lambda p: torch.optim.Adafactor(p, lr=0.1, beta2_decay=-0.5, eps=(None, 0.01), d=2.0),
        ),
        "adamw": (
            {"beta1": 0.8, "beta2": 0.9, "eps": 1e-4},
            lambda p: torch.optim.AdamW(
                p, lr=0.1, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.0, fused=True
            ),
        ),
    }
    for name, (options, torchs) in cases.items():
        ours, theirs = network(), network()
        settings = Train(lr=0.1, weight_decay=0.0, optimizer={"name": name, **options})
        found = after_steps(ours, optimizer_for(ours, settings))
        expected = after_steps(theirs, torchs(theirs.parameters()))
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)), name


@MUON
def test_muon_trains_matrices_and_adamw_the_rest():
    settings = Train(lr=0.1, weight_decay=0.0, optimizer="muon")
    ours, theirs = network(), network()
    found = after_steps(ours, optimizer_for(ours, settings))
    matrix = [theirs[1].weight]
    others = [p for p in theirs.parameters() if p is not theirs[1].weight]
    by_muon = torch.optim.Muon(matrix, lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    by_adamw = torch.optim.AdamW(others, lr=0.1, weight_decay=0.0, fused=True)
    both = type("Both", (), {"step": lambda self: (by_muon.step(), by_adamw.step())})()
    expected = after_steps(theirs, both)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_torch_without_muon_is_named_in_a_line(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(MMBenchError, match=r"torch 2\.9 .*installed.*adamw") as error:
        optimizer_for(network(), Train(optimizer="muon"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("sdg", "Did you mean sgd"),
        ({"name": "sgd", "momentun": 0.5}, "Did you mean momentum"),
        ({"momentum": 0.5}, "adamw: no key 'momentum'"),
        ({"name": "sgd", "momentum": 1.0}, "must be less than 1"),
        ({"name": "sgd", "momentum": 0.0, "nesterov": True}, "needs a momentum"),
    ],
    ids=str,
)
def test_what_no_optimizer_has_is_a_line_that_says_what_there_is(asked, words):
    with pytest.raises(MMBenchError, match=words) as error:
        validate(Train, {"optimizer": asked}, "mine.yaml: train")
    assert "\n" not in str(error.value)


def test_an_option_that_is_as_it_is_by_default_decides_nothing():
    assert Train(optimizer={"name": "adamw", "beta1": 0.9}).changed() == {}
    assert Train(optimizer={"beta1": 0.8}).changed() == {"optimizer.beta1": 0.8}
    asked = load_recipe("gated_fusion", {"train.optimizer": "sgd", "train.optimizer.momentum": 0.9})
    assert asked.train.changed()["optimizer"] == "sgd"
    assert not any("momentum" in key for key in asked.deciding(trained=True))


def test_every_option_of_an_optimizer_says_what_it_was_added_with():
    for name, kind in OPTIMIZERS.items():
        for option, field in kind.model_fields.items():
            assert "added_with" in (field.json_schema_extra or {}), f"{name}: {option}"
