"""What every balancing method must keep: see `mmbench.training.balance.base.Balance`."""

import numpy as np
import pytest
import torch
from torch import nn

import mmbench
from mmbench import registry
from mmbench.checkpoint import read_checkpoint
from mmbench.errors import MMBenchError
from mmbench.experiments.watch import SILENT, Watch
from mmbench.recipe import Part, Train
from mmbench.stages import Stage
from mmbench.training.loop import fit
from mmbench.training.objectives.base import Epoch
from mmbench.training.objectives.weighted import WeightedObjectives, total
from mmbench.training.optimizer import optimizer_for
from mmbench.training.stages import check_stages
from tests.training.conftest import QUICK
from tests.training.test_waiting import Reads

METHODS = registry.names("balance")
CPU = torch.device("cpu")
TASK = Stage(name="task", objective="task")


def objectives(model, name, **settings):
    return WeightedObjectives(TASK, model, Train(batch=16, **settings), Part(name=name))


class Cut(Watch):
    """Stops a training after an epoch."""

    def __init__(self, after):
        self.after = after

    def finished_epoch(self, entry):
        if entry["epoch"] == self.after:
            raise KeyboardInterrupt


def trained(small_model, folder, name, *, resume=False, watcher=SILENT, fusion="gated"):
    _, model, samples = small_model("vqa", fusion=fusion)
    torch.manual_seed(1)
    found = objectives(model, name)
    found.prepare(model, samples)
    fit(
        model,
        found,
        samples[:120],
        Train(epochs=4, batch=16),
        lambda: float(torch.rand(())),
        seed=3,
        device=CPU,
        folder=folder,
        resume=resume,
        watcher=watcher,
        validation=samples[120:],
    )
    return model, found


@pytest.mark.parametrize("fusion", ["concat", "cross_attention", "late_mean"])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_finite_and_reads_nothing_from_the_device(small_model, name, fusion):
    """Whatever the fusion, and where samples lack a modality or a right answer."""
    _, model, samples = small_model("vqa", fusion=fusion)
    found = objectives(model, name, modality_dropout=0.5)
    found.prepare(model, samples)
    epoch = Epoch(0, 4, samples[:120], samples[120:], 16, CPU)
    found.before_epoch(model, epoch)
    both = nn.ModuleDict({"model": model, "objectives": found}).train()
    optimizer = optimizer_for(both, Train())
    batches = found.collate(model, samples[:60], np.random.default_rng(0))
    batches["task"]["target"][3] = -100
    own = set(model.losses(batches["task"]))

    def step():
        losses = found.losses(model, batches)
        optimizer.zero_grad(set_to_none=True)
        total(losses).backward()
        found.after_backward(model)
        return losses

    step()
    with Reads() as reads:
        losses = step()
    assert reads.found == []
    assert own <= set(losses)
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    for key, parameter in both.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    optimizer.step()
    assert all(p.isfinite().all() for p in both.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_heads_are_trained_beside_the_model_and_are_no_part_of_it(small_model, tmp_path, name):
    _, plain, _ = small_model("vqa")
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    found = objectives(plain, name)
    assert all(torch.equal(before[key], value) for key, value in plain.state_dict().items())
    model, found = trained(small_model, tmp_path, name)
    assert set(model.state_dict()) == set(before)
    torch.manual_seed(1)
    fresh = objectives(small_model("vqa")[1], name)
    pairs = list(zip(fresh.parameters(), found.parameters(), strict=True))
    assert all(not torch.equal(untrained, trained) for untrained, trained in pairs)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_that_was_cut_off_ends_in_the_same_bytes(small_model, tmp_path, name):
    whole, one = trained(small_model, tmp_path / "whole", name)
    with pytest.raises(KeyboardInterrupt):
        trained(small_model, tmp_path / "cut", name, watcher=Cut(after=3))
    resumed, other = trained(small_model, tmp_path / "cut", name, resume=True)
    for ours, theirs in ((whole, resumed), (one, other)):
        state = theirs.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_in_evaluation_the_loss_is_the_models(small_model, name):
    _, model, samples = small_model("vqa")
    found = objectives(model, name, modality_dropout=0.5).eval()
    model.eval()
    batches = found.collate(model, samples[:40], np.random.default_rng(0))
    assert not any(key.endswith("_kept") for key in batches["task"])
    losses, own = found.losses(model, batches), model.losses(batches["task"])
    assert {k: x.item() for k, x in losses.items()} == {k: x.item() for k, x in own.items()}


def test_a_record_tells_of_a_balance_and_counts_nothing_of_it(scenes_file, tmp_path):
    def run(**overrides):
        overrides = QUICK | overrides
        return mmbench.run(
            "vqa",
            "concat_fusion",
            dataset=scenes_file,
            out=tmp_path,
            train=True,
            overrides=overrides,
        )

    plain, balanced = run(), run(balance={"name": "g_blend", "super_epoch": 1})
    assert balanced.record.parameters == plain.record.parameters
    assert balanced.record.flops_per_sample == plain.record.flops_per_sample
    assert balanced.record.recipe["balance"]["name"] == "g_blend"
    assert balanced.record.identity.hash != plain.record.identity.hash
    tensors = [read_checkpoint(r.path / "weights.safetensors").tensors for r in (plain, balanced)]
    assert set(tensors[0]) == set(tensors[1])
    assert any(not torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


@pytest.mark.parametrize(
    ("task", "model", "overrides", "says"),
    [
        ("captioning", "concat_fusion", {"balance": "ogm_ge"}, "which this task does not ask for"),
        ("retrieval", "concat_fusion", {"balance": "pmr"}, "which this task does not ask for"),
        ("generation", "concat_fusion", {"balance": "pmr"}, "which this task does not ask for"),
        ("vqa", "concat_fusion", {"balance": "ogm"}, "called 'ogm'. Did you mean ogm_ge"),
        ("vqa", "image_only", {"balance": "ogm_ge"}, "nothing to balance in a model of one"),
        ("vqa", "concat_fusion", {"balance": {"name": "ogm_ge", "alpha": -1.0}}, "alpha must be"),
        ("vqa", "concat_fusion", {"balance": {"name": "ogm_ge", "beta": 1}}, "no option 'beta'"),
        ("vqa", "concat_fusion", {"balance": {"alpha": 1.0}}, "balance needs a name"),
        ("vqa", "majority", {"balance": "ogm_ge"}, "predictor stands alone"),
        ("vqa", "image_only", {"train.modality_dropout": 0.5}, "this model fuses none"),
        ("vqa", "concat_fusion", {"train.modality_dropout": 1.0}, "must be less than 1"),
        ("vqa", "majority", {"train.modality_dropout": -0.1}, "must be at least 0"),
    ],
)
def test_what_cannot_be_balanced_is_refused_in_a_line_before_training(
    scenes_file, tmp_path, task, model, overrides, says
):
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.run(
            task,
            model,
            dataset=scenes_file,
            out=tmp_path,
            train=model != "majority",
            overrides=({} if model == "majority" else QUICK) | overrides,
        )
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("log.jsonl"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"task": 1.0, "simclr": 0.5}, "must minimise task alone"),
        ({"task": 2.0}, "must minimise task alone"),
        ("simclr", "no stage minimises task"),
    ],
)
def test_a_balance_of_another_objective_is_refused(small_model, asked, says):
    _, model, _ = small_model("vqa")
    with pytest.raises(MMBenchError, match=says):
        check_stages([Stage(name="one", objective=asked)], model, Train(), Part(name="ogm_ge"))


def test_shipped_weights_are_not_taken_for_those_of_a_balanced_training(tmp_path):
    with pytest.raises(MMBenchError, match="trained with other settings .balance=None"):
        mmbench.run("vqa", "gated_fusion", out=tmp_path, overrides={"balance": "ogm_ge"})
