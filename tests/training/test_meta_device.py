"""A training step on the device that holds no numbers: what it makes elsewhere was made on the CPU.

On a GPU such a tensor is a copy at every step, or an error of two devices in one operation.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmbench.model import move
from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives, total
from tests.training.steps import TRAINED, each_step, encoder_step

OF_DATA = {"generation autoencoder": "a codebook begins with the latents that it is shown"}


class Elsewhere(TorchDispatchMode):
    """The operations that make a tensor that is not on the meta device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        made = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self.found.append(str(op))
        return made


@each_step(besides=OF_DATA)
def test_a_training_step_makes_nothing_on_the_cpu(small_model, step):
    task, objective, overrides = step
    _, model, samples = small_model(task, **overrides)
    objectives = WeightedObjectives(Stage(name="one", objective=objective), model, Train())
    objectives.prepare(model, samples)
    batches = objectives.collate(model, samples[:60], np.random.default_rng(0))
    model, objectives = model.to("meta").train(), objectives.to("meta").train()
    on_meta = {name: move(batch, torch.device("meta")) for name, batch in batches.items()}
    with Elsewhere() as elsewhere:
        loss = total(objectives.losses(model, on_meta))
        loss.backward()
    assert elsewhere.found == []


@pytest.mark.parametrize("name", TRAINED)
def test_an_encoder_makes_nothing_on_the_cpu(name):
    module, read, loss = encoder_step(name)
    module.to("meta")
    on_meta = move(read, torch.device("meta"))
    with Elsewhere() as elsewhere:
        loss(**on_meta).backward()
    assert elsewhere.found == []


def test_what_is_made_elsewhere_is_found():
    x = torch.ones(2, device="meta")
    with Elsewhere() as elsewhere:
        x + x
        torch.zeros(3)
    assert elsewhere.found == ["aten.zeros.default"]
