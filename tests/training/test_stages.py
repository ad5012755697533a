"""Stages of a recipe: what they train, what they leave, and what is refused."""

import json

import pytest
import torch

import mmbench
from mmbench.checkpoint import read_checkpoint
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.watch import Watch
from mmbench.recipe import Recipe, Train
from mmbench.stages import Stage
from mmbench.training.modes import train_mode
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.stages import check_stages, enter, stages_of, trainable
from mmbench.yaml_file import validate

QUICK = {"width": 16, "train.epochs": 2, "train.batch": 16}
IMAGE = {"name": "image", "objective": "simclr", "trains": ["encoders.image"]}
TUNE = {"name": "tune", "objective": "task", "train": {"epochs": 1}}


def stage(**settings):
    return validate(Stage, {"name": "one", "objective": "task"} | settings, "here")


def entered(model, asked, allowed):
    objectives = WeightedObjectives(asked, model, Train())
    enter(asked, model, objectives, allowed)
    return {name for name, p in model.named_parameters() if p.requires_grad}


def run(dataset, out, stages, model="gated_fusion", task="vqa", **options):
    overrides = options.pop("overrides", QUICK) | {"stages": stages}
    options = {"train": True, "overrides": overrides} | options
    return mmbench.run(task, model, dataset=dataset, out=out, **options)


def weights(result):
    return read_checkpoint(result.path / "weights.safetensors").tensors


def log(result):
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


def test_a_recipe_may_name_objectives_in_three_ways():
    assert stage(objective="simclr").objective["simclr"].weight == 1
    assert list(stage(objective=["simclr", "task"]).objective) == ["simclr", "task"]
    mapped = stage(objective={"task": 2, "simclr": {"weight": 0.5, "temperature": 0.1}}).objective
    assert mapped["task"].weight == 2
    assert (mapped["simclr"].weight, mapped["simclr"].options) == (0.5, {"temperature": 0.1})


def test_a_stage_trains_its_parts_and_nothing_else(small_model):
    _, model, _ = small_model("vqa")
    allowed = trainable(model)
    names = entered(model, stage(trains=["encoders.image", "fusion"]), allowed)
    assert {name.split(".")[0] for name in names} == {"encoders", "fusion"}
    assert not any("text" in name for name in names)
    everything = entered(model, stage(freezes=["encoders"]), allowed)
    assert {name.split(".")[0] for name in everything} == {"fusion", "decoder"}
    assert entered(model, stage(objective="simclr"), allowed) == {
        name for name, _ in model.named_parameters() if name.startswith("encoders.image.")
    }


def test_what_an_author_froze_stays_frozen_and_its_norms_do_not_move(small_model):
    _, model, samples = small_model("vqa")
    encoder = model.encoders["image"]
    encoder.requires_grad_(False)
    trained = entered(model, stage(trains=["encoders", "decoder"]), trainable(model))
    assert trained
    assert not any("encoders.image" in name for name in trained)
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    train_mode(model)
    assert model.training
    assert not any(norm.training for norm in norms)
    model.losses(model.collate_training(samples[:40], None))
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms, strict=True))


def test_parts_are_trained_first_by_stages_of_their_own(small_model):
    _, model, _ = small_model("generation")
    first, second = stages_of(Recipe(), model)
    assert (first.trains, list(first.objective)) == (["decoder.autoencoder"], ["autoencoder"])
    assert (second.freezes, list(second.objective)) == (["decoder.autoencoder"], ["task"])
    own = {"name": "autoencoder", "objective": "autoencoder", "train": {"epochs": 9}}
    recipe = Recipe.model_validate({"stages": [own, TUNE]})
    again = stages_of(recipe, model)
    assert [s.name for s in again] == ["autoencoder", "tune"]
    assert again[0].train == {"epochs": 9}
    assert again[1].freezes == ["decoder.autoencoder"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"trains": []}, "trains nothing"),
        ({"trains": ["decoder"], "freezes": ["decoder"]}, "freezes it too"),
        ({"trains": ["encoders.image"], "freezes": ["encoders"]}, "freezes it too"),
        ({"objective": []}, "names no objective"),
        ({"objective": None}, "objective must be"),
        ({"objective": {"task": 0}}, "weight must be greater than 0"),
        ({"name": "a b"}, "should match"),
        ({"train": {"epoch": 3}}, "the stage one: train: no key 'epoch'. Did you mean epochs"),
    ],
)
def test_a_stage_that_cannot_be_is_refused_as_it_is_read(settings, says):
    asked = {"name": "one", "objective": "task"} | settings
    with pytest.raises(MMBenchError, match=says) as error:
        validate(Recipe, {"stages": [asked]}, "mine.yaml")
    assert "\n" not in str(error.value)


def test_stages_have_names_of_their_own():
    with pytest.raises(MMBenchError, match="two called tune"):
        validate(Recipe, {"stages": [TUNE, TUNE]}, "mine.yaml")
    with pytest.raises(MMBenchError, match="objective' is missing"):
        validate(Recipe, {"stages": [{"name": "one"}]}, "mine.yaml")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objective": "tusk"}, "no objective called 'tusk'. Did you mean task"),
        ({"trains": ["encoders.imag"]}, "not a part of this model. Did you mean encoders.image"),
        ({"freezes": ["adapter"]}, "names adapter, which is not a part"),
        ({"objective": "simclr", "trains": ["decoder"]}, "trains nothing"),
        ({"objective": "simclr", "freezes": ["encoders"]}, "trains nothing"),
    ],
)
def test_a_stage_that_does_not_fit_the_model_is_refused_before_training(
    scenes_file, tmp_path, settings, says
):
    asked = {"name": "one", "objective": "task"} | settings
    with pytest.raises(MMBenchError, match=says) as error:
        run(scenes_file, tmp_path, [IMAGE, asked])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("log.jsonl"))


def test_a_stage_of_what_is_frozen_by_its_own_options_is_refused(small_model):
    _, model, _ = small_model("vqa")
    model.encoders["image"].requires_grad_(False)
    with pytest.raises(MMBenchError, match="frozen by its own options"):
        check_stages([stage(trains=["encoders.image"])], model, Train())


@pytest.mark.parametrize("task", ["vqa", "captioning", "retrieval"])
def test_an_encoder_is_pretrained_by_simclr_then_the_task_is_trained(scenes_file, tmp_path, task):
    result = run(scenes_file, tmp_path, [IMAGE, TUNE | {"freezes": ["encoders.image"]}], task=task)
    assert [entry["stage"] for entry in log(result)] == ["image", "image", "tune"]
    alone = run(
        scenes_file, tmp_path / "alone", [TUNE | {"freezes": ["encoders.image"]}], task=task
    )
    ours, others = weights(result), weights(alone)
    moved = {name for name in ours if not torch.equal(ours[name], others[name])}
    assert any(name.startswith("encoders.image") for name in moved)
    assert result.record.identity.hash != alone.record.identity.hash
    assert "objectives:simclr" in result.record.identity.parts


def test_a_stage_that_no_later_choice_changes_is_trained_once(scenes_file, tmp_path):
    began = []

    class Note(Watch):
        def began(self, model, seed):
            began.append(model)

    stages = [
        IMAGE | {"train": {"epochs": 1, "lr": 0.0031}},
        TUNE | {"freezes": ["encoders.image"]},
    ]
    first = run(scenes_file, tmp_path, stages)
    second = run(scenes_file, tmp_path, stages, "concat_fusion", watch=Note())
    assert began == ["concat_fusion", "concat_fusion tune"]
    ours, others = weights(first), weights(second)
    shared = [name for name in ours if name.startswith("encoders.image")]
    assert shared
    assert all(torch.equal(ours[name], others[name]) for name in shared)
    assert log(first)[0] == log(second)[0]
    run(scenes_file, tmp_path, stages, "concat_fusion", seed=1, watch=Note())
    assert "concat_fusion image" in began  # another seed begins from other weights


def test_a_training_cut_off_in_its_second_stage_ends_as_it_would_have(scenes_file, tmp_path):
    class Cut(Watch):
        def began(self, model, seed):
            self.stage = model.rpartition(" ")[2]

        def finished_epoch(self, entry):
            if self.stage == "tune" and entry["epoch"] == 1:
                raise KeyboardInterrupt

    # Two objectives, whose own parameters go on too; the task's makes the stage the run's alone.
    both = {"name": "tune", "objective": {"task": 1.0, "simclr": 0.5}, "train": {"epochs": 2}}
    stages = [IMAGE, both]
    whole = run(scenes_file, tmp_path / "whole", stages)
    with pytest.raises(Interrupted):
        run(scenes_file, tmp_path / "cut", stages, watch=Cut())
    resumed = run(scenes_file, tmp_path / "cut", stages, resume=True)
    for name in ("weights.safetensors", "predictions.parquet"):
        assert resumed.record.files[name] == whole.record.files[name]
    assert set(log(whole)[-1]["losses"]) == {"task.answer", "simclr.nt_xent"}


def test_validation_by_loss_does_not_depend_on_the_batch_of_inference(scenes_file, tmp_path):
    found = [
        log(
            run(
                scenes_file,
                tmp_path / str(n),
                [IMAGE | {"objective": {"task": 1, "simclr": 1}}],
                batch_size=n,
            )
        )
        for n in (1, 1000)
    ]
    assert [e["validation"] for e in found[0]] == [e["validation"] for e in found[1]]
