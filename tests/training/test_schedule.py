import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from mmbench.recipe import Train
from mmbench.training.loop import optimizer_for
from mmbench.training.schedule import learning_rate_factor


def rates(make, steps):
    """The rates that a scheduler of a library gives to so many steps, the highest being 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("steps", "warmup"), [(50, 0.1), (7, 0.3), (1000, 0.5), (3, 0.34)])
def test_one_cycle_is_torchs(steps, warmup):
    """Of one step more, since the last rate is one that a step still uses."""
    rising = round(steps * warmup)
    theirs = rates(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps + 1,
            pct_start=(rising + 1) / (steps + 1),
            div_factor=25,
            final_div_factor=400,
            cycle_momentum=False,
        ),
        steps,
    )
    ours = [learning_rate_factor("one_cycle", step, steps, warmup) for step in range(steps)]
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 0.1), (40, 0.0), (9, 0.5)])
def test_cosine_is_transformers_but_for_a_first_step_that_trains(steps, warmup):
    """Theirs begins at a rate of 0, so that its warm-up comes a step later."""
    rising = round(steps * warmup)
    theirs = rates(
        lambda optimizer: get_cosine_schedule_with_warmup(optimizer, rising, steps), steps
    )
    ours = [learning_rate_factor("cosine", step, steps, warmup) for step in range(steps)]
    assert ours[rising:] == pytest.approx(theirs[rising:], abs=1e-6)
    assert ours[: max(0, rising - 1)] == pytest.approx(theirs[1:rising], abs=1e-6)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_a_schedule_rises_then_never_rises_again(schedule):
    values = [learning_rate_factor(schedule, step, 100, 0.2) for step in range(100)]
    assert values[:20] == sorted(values[:20])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert max(values) <= 1.0
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
