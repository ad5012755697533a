import math

import pytest
import torch

from mmbench.recipe import Train
from mmbench.training.optimizer import optimizer_for
from mmbench.training.schedule import scheduler_for


def rates(schedule, steps, warmup, done=0, lr=1.0):
    """The learning rate of each of the steps that are left."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=lr)
    scheduler = scheduler_for(optimizer, schedule, steps, warmup, done)
    found = []
    for _ in range(steps - done):
        one, other = (group["lr"] for group in optimizer.param_groups)
        assert one == other
        found.append(one)
        optimizer.step()
        scheduler.step()
    return found


def by_hand(schedule, step, steps, warmup):
    """The rate as a share of the highest."""
    rising = round(steps * warmup)
    start, end = (1 / 25, 1e-4) if schedule == "one_cycle" else (0.0, 0.0)
    if step < rising:
        if schedule == "one_cycle":
            return 1 + (start - 1) * (1 + math.cos(math.pi * step / rising)) / 2
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    share = (step - rising) / (steps - rising)
    return end + (1 - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize(
    ("steps", "warmup"), [(50, 0.1), (7, 0.3), (1000, 0.5), (3, 0.34), (40, 0.0), (1, 0.1)]
)
def test_a_schedule_is_its_equation(schedule, steps, warmup):
    expected = [3e-4 * by_hand(schedule, step, steps, warmup) for step in range(steps)]
    assert rates(schedule, steps, warmup, lr=3e-4) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_a_schedule_goes_on_where_it_was_to_the_last_bit(schedule):
    assert rates(schedule, 30, 0.2, done=12) == rates(schedule, 30, 0.2)[12:]


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_a_schedule_rises_then_never_rises_again(schedule):
    values = rates(schedule, 100, 0.2)
    assert values[:20] == sorted(values[:20])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert max(values) == pytest.approx(1.0)
    assert min(values) > 0


def test_biases_norms_and_embeddings_are_not_decayed():
    model = torch.nn.Sequential(
        torch.nn.Embedding(5, 4), torch.nn.Linear(4, 3), torch.nn.LayerNorm(3)
    )
    decayed, free = optimizer_for(model, Train(weight_decay=0.1)).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 4)]
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0
    assert len(free["params"]) == 4
