"""What is trained of a checkpoint of transformers: nothing, its last layers, all, or adapters."""

import sys

import pytest
import torch

from mmbench.checkpoint import Checkpoint, read_checkpoint
from mmbench.errors import MMBenchError
from mmbench.model import parameter_counts
from tests.zoo.checkpoint_inputs import every, values_of


def trained_names(encoder):
    return {key for key, p in encoder.named_parameters() if p.requires_grad}


@every
def test_a_frozen_network_is_neither_trained_nor_kept_and_its_features_stand_for_it(
    name, built, tmp_path
):
    encoder = built(name).train()
    x, mask = encoder.read(values_of(encoder))
    assert encoder.frozen
    assert {key.partition(".")[0] for key, _ in encoder.named_parameters()} == {"norm", "project"}
    found = encoder.extract(x, mask)
    assert not found.tokens.requires_grad
    kept = encoder.of_features(found.tokens.half(), found.mask)
    torch.testing.assert_close(kept.pool(), encoder(x, mask).pool(), atol=1e-2, rtol=1e-2)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
    other = built(name)
    torch.nn.init.normal_(other.project.weight)
    read_checkpoint(path).restore(other)
    assert torch.equal(other(x, mask).tokens, encoder(x, mask).tokens)


@every
def test_unfreezing_trains_the_last_layers_or_all_and_keeps_them_in_the_checkpoint(
    name, built, tmp_path
):
    counts = {}
    for unfreeze in ("none", "last_1", "last_2", "all"):
        encoder = built(name, unfreeze=unfreeze).train()
        x, mask = encoder.read(values_of(encoder))
        pooled = encoder(x, mask).pool()
        (pooled * torch.randn_like(pooled)).sum().backward()
        missing = [k for k, p in encoder.named_parameters() if p.grad is None]
        assert [key for key in missing if "mask_token" not in key] == []
        counts[unfreeze] = sum(p.numel() for p in encoder.parameters())
        own = {"norm.weight", "norm.bias", "project.weight", "project.bias"}
        assert (trained_names(encoder) == own) is (unfreeze == "none")
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        encoder.eval()
        path = tmp_path / f"{unfreeze}.safetensors"
        path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
        other = built(name, unfreeze=unfreeze).eval()
        read_checkpoint(path).restore(other)
        torch.testing.assert_close(other(x, mask).pool(), encoder(x, mask).pool())
        frozen = encoder.frozen_parameters
        assert counts[unfreeze] + frozen == counts["none"] + built(name).frozen_parameters
    assert counts["none"] < counts["last_1"] < counts["last_2"] < counts["all"]


def test_what_is_frozen_of_a_network_stays_in_evaluation_mode_and_is_counted_apart(built):
    encoder = built("resnet", unfreeze="last_1").train()
    network = encoder.network_on(torch.device("cpu"))
    stages = network.encoder.stages
    assert [stage.layers[0].layer[0].normalization.training for stage in stages] == [
        *(False, False, False, True)
    ]
    x, mask = encoder.read(values_of(encoder))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    encoder(x, mask).pool().square().sum().backward()
    moved = [k for k, v in network.state_dict().items() if not torch.equal(v, before[k])]
    assert moved
    assert all(key.startswith("encoder.stages.3") for key in moved)
    model = torch.nn.Module()
    model.encoders = torch.nn.ModuleDict({"image": encoder})
    counts = parameter_counts(model)
    assert counts["encoders.image (frozen)"] == encoder.frozen_parameters > 0


def test_adapters_alone_are_trained_and_kept(built, tmp_path):
    pytest.importorskip("peft")
    for name in ("vit", "bert", "gpt2"):
        encoder = built(name, lora={"rank": 2}).train()
        plain = built(name).eval()
        x, mask = encoder.read(values_of(encoder))
        torch.testing.assert_close(encoder.extract(x, mask).tokens, plain.extract(x, mask).tokens)
        names = {key for key in trained_names(encoder) if key.startswith("trained")}
        assert names
        assert all("lora" in key for key in names)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += torch.randn_like(parameter)
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
        assert path.stat().st_size < 40_000
        other = built(name, lora={"rank": 2})
        read_checkpoint(path).restore(other)
        torch.testing.assert_close(other.eval()(x, mask).pool(), encoder.eval()(x, mask).pool())


def test_without_peft_adapters_are_one_line_that_says_what_to_install(built, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MMBenchError, match=r"lora needs peft.*pip install 'mmbench\[lora\]'"):
        built("vit", lora={"rank": 2})
