"""A training step never reads from the device, which on a GPU would wait until that has caught up.

Counted on the CPU, where every operation that reads has a name.
"""

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives, total
from mmbench.training.optimizer import optimizer_for
from mmbench.zoo.decoders.autoencoder import Quantiser
from tests.training.steps import each_step

READS = {
    *("_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique_dim", "_unique2"),
    *("equal", "is_nonzero", "lift_fresh"),  # the last: numbers of Python, copied there
}


class Reads(TorchDispatchMode):
    """The operations that read from the device, or wait for it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.overloadpacket._qualified_op_name.removeprefix("aten::")
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        checked = name == "multinomial" and not (args[2:] or [False])[0]
        if name in READS or by_mask or checked:
            self.found.append(name)
        return op(*args, **(kwargs or {}))


@each_step()
def test_a_training_step_reads_nothing_from_the_device(small_model, step):
    task, objective, overrides = step
    _, model, samples = small_model(task, **overrides)
    objectives = WeightedObjectives(Stage(name="one", objective=objective), model, Train())
    objectives.prepare(model, samples)
    both = nn.ModuleDict({"model": model, "objectives": objectives}).train()
    optimizer = optimizer_for(both, Train())
    batches = objectives.collate(model, samples[:60], np.random.default_rng(0))

    def take_step():
        loss = total(objectives.losses(model, batches))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(list(both.parameters()), 1.0)
        optimizer.step()
        objectives.after_step(model)

    take_step()  # what is set up once (a codebook begins) may read
    with Reads() as reads:
        take_step()
    assert reads.found == []


def test_reads_are_found():
    x = torch.rand(4, 4)
    with Reads() as reads:
        x.sum().item()
        x[x > 0.5]
        torch.multinomial(x, 2)
        x.new_tensor([1.0, 2.0])
        torch.bincount(torch.tensor([1, 2]))
    assert {"_local_scalar_dense", "index", "multinomial", "lift_fresh", "bincount"} <= {
        *reads.found
    }


def test_rivals_are_drawn_as_torch_draws_without_replacement(small_model):
    _, model, _ = small_model("retrieval")
    logits = 5 * torch.randn(12, 12)
    chances = logits.softmax(1).clamp(min=1e-6).fill_diagonal_(0)
    torch.manual_seed(0)
    drawn = model._rivals(logits)
    torch.manual_seed(0)
    expected = torch.multinomial(chances, 7)
    assert torch.equal(drawn[:, 1:], expected)
    assert torch.equal(drawn[:, 0], torch.arange(12))


def test_a_codebook_that_has_begun_goes_on_where_it_was_after_a_restart():
    torch.manual_seed(0)
    one = Quantiser(1, 8, 3).train()
    latents = torch.randn(100, 3)
    one(latents)
    other = Quantiser(1, 8, 3).train()
    other.load_state_dict(one.state_dict())
    for quantiser in (one, other):
        torch.manual_seed(1)
        quantiser(latents)
    assert torch.equal(one.books, other.books)
