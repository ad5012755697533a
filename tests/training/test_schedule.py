import pytest
import torch

from mmbench.recipe import Train
from mmbench.training.loop import optimizer_for
from mmbench.training.schedule import learning_rate_factor


def test_one_cycle_is_torchs():
    steps = 50
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps + 1, pct_start=0.1, final_div_factor=400
    )
    ours = [learning_rate_factor("one_cycle", step, steps, 0.1) for step in range(steps)]
    theirs = []
    for _ in range(steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert ours[0] == theirs[0] == pytest.approx(1 / 25)
    assert max(ours) == pytest.approx(max(theirs), abs=0.02)
    assert ours[-1] < 0.01


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
