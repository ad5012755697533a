"""A step of training under autocast in bfloat16, which is how a GPU trains."""

import numpy as np
import pytest
import torch

from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives, total
from mmbench.zoo.decoders.autoencoder import Quantiser
from tests.training.steps import TRAINED, each_step, encoder_step


@pytest.fixture(autouse=True)
def _norms_as_on_a_gpu(monkeypatch):
    """CUDA's autocast runs layer norms in float32; the CPU's sums their gradients in bfloat16."""
    plain = torch.nn.LayerNorm.forward

    def in_float32(self, x):
        with torch.autocast("cpu", enabled=False):
            return plain(self, x.float())

    monkeypatch.setattr(torch.nn.LayerNorm, "forward", in_float32)


def gradient(model, objectives, batches, dtype):
    torch.manual_seed(0)  # dropout and noise are the same for both
    for module in (model, objectives):
        module.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = total(objectives.losses(model, batches))
    assert loss.dtype == torch.float32
    loss.backward()
    parameters = [*model.parameters(), *objectives.parameters()]
    found = [p.grad.flatten() for p in parameters if p.grad is not None]
    return loss.detach(), torch.cat(found)


@each_step()
def test_the_gradient_in_bfloat16_points_where_that_in_float32_does(small_model, step, monkeypatch):
    task, objective, overrides = step
    _, model, samples = small_model(task, **overrides)
    objectives = WeightedObjectives(Stage(name="one", objective=objective), model, Train())
    objectives.prepare(model, samples)
    model.train()
    batches = objectives.collate(model, samples, np.random.default_rng(0))
    if objective == "autoencoder" and model.decoder.autoencoder.quantiser is not None:
        objectives.losses(model, batches)  # the codebook begins with what it is shown
        quantiser = model.decoder.autoencoder.quantiser
        kept = {}

        def same_codes(latents, plain=Quantiser.forward):
            codes = kept.setdefault("codes", plain(quantiser, latents)[0])
            near = quantiser.lookup(codes)
            return codes, torch.nn.functional.mse_loss(latents.float(), near)

        quantiser.eval()
        monkeypatch.setattr(quantiser, "forward", same_codes)
    if task == "retrieval" and objective == "task":
        media = len({sample.group for sample in samples})
        rivals = model._rivals(torch.zeros(media, media))
        monkeypatch.setattr(model, "_rivals", lambda logits: rivals)
    one, full = gradient(model, objectives, batches, torch.float32)
    other, half = gradient(model, objectives, batches, torch.bfloat16)
    assert other.isfinite()
    assert half.isfinite().all()
    assert other.item() == pytest.approx(one.item(), rel=0.05)
    assert torch.cosine_similarity(full, half, dim=0) >= 0.99


@pytest.mark.parametrize("name", TRAINED)
def test_an_encoders_gradient_in_bfloat16_points_where_that_in_float32_does(name):
    module, read, loss = encoder_step(name)
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        module.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = loss(**read)
        value.backward()
        found.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
        assert found[-1].isfinite().all()
    assert torch.cosine_similarity(*found, dim=0) >= 0.99


def test_codes_are_found_in_float32_under_autocast():
    torch.manual_seed(0)
    quantiser = Quantiser(2, 64, 8).train()
    latents = torch.randn(500, 8)
    quantiser(latents)
    quantiser.eval()
    plain, distance = quantiser(latents)
    with torch.autocast("cpu", torch.bfloat16):
        codes, other = quantiser(latents)
    assert torch.equal(codes, plain)
    assert torch.equal(other, distance)
