"""`train.modality_dropout`: in training samples lose contexts, by masks."""

import json

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.data.sample import Sample
from mmbench.recipe import Train, load_recipe
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives, total
from tests.training.conftest import QUICK

TASK = Stage(name="task", objective="task")


def collated(model, samples, share, seed=0):
    found = WeightedObjectives(TASK, model, Train(modality_dropout=share)).train()
    return found, found.collate(model, samples, np.random.default_rng(seed))


def kept(batch):
    return {key: value for key, value in batch["task"].items() if key.endswith("_kept")}


@pytest.mark.parametrize("task", registry.names("tasks"))
def test_samples_of_every_task_lose_contexts_and_the_losses_stay_finite(small_model, task):
    _, model, samples = small_model(task)
    WeightedObjectives(TASK, model, Train()).prepare(model, samples)
    found, batch = collated(model, samples, 0.4)
    assert set(kept(batch)) == {f"{name}_kept" for name in model.fused_contexts}
    (mask,) = kept(batch).values()
    assert 0.35 < 1 - mask.float().mean() < 0.45 or len(mask) < 100
    assert 0 < mask.sum() < len(mask)
    model.train()
    losses = found.losses(model, batch)
    assert all(loss.isfinite() for loss in losses.values())
    total(losses).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("task", registry.names("tasks"))
def test_it_is_drawn_from_the_generator_of_collation_and_moves_no_other_draw(small_model, task):
    _, model, samples = small_model(task)
    WeightedObjectives(TASK, model, Train()).prepare(model, samples)
    _, plain = collated(model, samples, 0.0)
    before = torch.get_rng_state()
    one, same, other = (collated(model, samples, 0.5, s)[1] for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert kept(plain) == {}
    for key, value in plain["task"].items():
        assert torch.equal(value, one["task"][key])
    for key, value in kept(one).items():
        assert torch.equal(value, same["task"][key])
        assert not torch.equal(value, other["task"][key])


@pytest.mark.parametrize("fusion", ["concat", "cross_attention", "late_mean"])
def test_what_is_dropped_changes_nothing_and_what_is_kept_is_as_it_was(small_model, fusion):
    _, model, samples = small_model("vqa", fusion=fusion)
    model.eval()
    batch = model.collate_training(samples[:40], None)
    whole = model(batch).logits
    batch["image_kept"] = torch.arange(40) % 3 != 0
    found = model(batch).logits
    torch.testing.assert_close(found[batch["image_kept"]], whole[batch["image_kept"]])
    batch["image"] = 255 - batch["image"]
    changed = model(batch).logits
    torch.testing.assert_close(found[~batch["image_kept"]], changed[~batch["image_kept"]])
    assert not torch.allclose(found[batch["image_kept"]], changed[batch["image_kept"]])


def test_a_question_with_choices_loses_its_image_at_all_of_them(small_model):
    task, _, samples = small_model("vqa")
    chosen = [
        Sample(
            s.id,
            {**s.inputs, "choices": (str(s.target), "x", "y")[: 2 + i % 2]},
            str(s.target),
            s.group,
        )
        for i, s in enumerate(samples[:30])
    ]
    recipe = task.resolve(load_recipe("gated_fusion", QUICK), task.dataset("scenes"))
    model = task.build(recipe, task.assets(chosen))
    mask = collated(model, chosen, 0.5)[1]["task"]["image_kept"].tolist()
    for s in chosen:
        of_sample = {mask.pop(0) for _ in s.inputs["choices"]}
        assert len(of_sample) == 1
    assert mask == []


def test_the_record_tells_of_it_and_equal_runs_are_equal(scenes_file, tmp_path):
    def run(folder, **overrides):
        overrides = QUICK | overrides
        options = {"dataset": scenes_file, "train": True, "overrides": overrides}
        return mmbench.run("vqa", "concat_fusion", out=tmp_path / folder, **options)

    plain = run("one")
    dropped = run("one", **{"train.modality_dropout": 0.5})
    again = run("two", **{"train.modality_dropout": 0.5})
    assert dropped.record.recipe["train"]["modality_dropout"] == 0.5
    assert dropped.record.identity.settings["train.modality_dropout"] == 0.5
    assert "train.modality_dropout" not in plain.record.identity.settings
    assert dropped.record.files["weights.safetensors"] == again.record.files["weights.safetensors"]
    first = [json.loads((r.path / "log.jsonl").open().readline()) for r in (plain, dropped)]
    assert first[0]["loss"] != first[1]["loss"]
