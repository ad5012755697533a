import torch
from torch import nn

from mmbench.training.averaging import Average


class Tied(nn.Module):
    """A frozen layer, one weight under two names, a norm with statistics."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(3, 3)
        self.other = nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)


def moved(model, by):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += by
        model.norm.running_mean += by


def test_an_average_is_its_equation():
    model, objectives = Tied(), nn.ModuleDict()
    average = Average(model, objectives, decay=0.3)
    expected = model.one.weight.detach().clone()
    for update in range(5):
        moved(model, 1.0)
        average.update()
        decay = min(0.3, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model.one.weight.detach()
    with average.in_place():
        torch.testing.assert_close(model.one.weight.detach(), expected)
        assert model.one.weight is model.other.weight


def test_in_place_gives_the_average_and_gives_the_weights_back_to_the_bit():
    model, objectives = Tied(), nn.ModuleDict({"head": nn.Linear(2, 2)})
    objectives.register_buffer("queue", torch.zeros(2))
    average = Average(model, objectives, decay=0.9)
    moved(model, 0.1)
    average.update()
    objectives.queue += 1
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kept = {k: v.clone() for k, v in average.tensors.items()}
    with average.in_place():
        within = {k: v.clone() for k, v in model.state_dict().items()}
        assert torch.equal(objectives.queue, torch.ones(2))
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(kept[key], average.tensors[key]) for key in kept)
    differ = {key for key in before if not torch.equal(before[key], within[key])}
    assert differ == {
        *("one.weight", "one.bias", "other.weight", "other.bias"),
        *("norm.weight", "norm.bias", "norm.running_mean"),
    }
    assert {key for key in kept if key.startswith("objectives.")} == {
        "objectives.head.weight",
        "objectives.head.bias",
    }


def test_an_average_goes_on_where_it_was():
    def begun():
        torch.manual_seed(0)
        return Tied()

    whole, cut = begun(), begun()
    expected = Average(whole, nn.ModuleDict(), decay=0.9)
    first = Average(cut, nn.ModuleDict(), decay=0.9)
    for _ in range(2):
        for model, average in ((whole, expected), (cut, first)):
            moved(model, 0.3)
            average.update()
    second = Average(cut, nn.ModuleDict(), decay=0.9, done=2)
    second.load(first.tensors)
    for model, average in ((whole, expected), (cut, second)):
        moved(model, 0.3)
        average.update()
    assert all(torch.equal(expected.tensors[k], v) for k, v in second.tensors.items())
