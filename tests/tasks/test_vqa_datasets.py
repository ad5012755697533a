"""VQA with several annotators, with a cap on answers, and with choices at every question."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.compare import compare
from mmbench.recipe import load_recipe
from mmbench.yaml_file import read_yaml
from tests.data.layouts import FOLDERS

SHORT = {"train.epochs": 1, "train.batch": 4, "width": 16}


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "vqa")()


@pytest.fixture
def small(tmp_path):
    """The YAML of a dataset with small images, half of train held out, and its folder."""

    def make(name: str, **changes) -> dict:
        value = read_yaml(registry.path("datasets", name)) | {"image_size": 32} | changes
        for split in value["splits"].values():
            if "hold_out" in split:
                split["hold_out"] = 0.4
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(value))
        folder = tmp_path / name
        if not folder.exists():
            FOLDERS[name](folder)
        return {"dataset": str(path), "data_dir": folder, "out": tmp_path / "results"}

    return make


def test_a_file_that_names_no_metrics_is_scored_by_what_fits_its_answers(small):
    result = mmbench.run("vqa", "majority", **small("vqav2", metrics=[]))
    assert [e.name for e in result.record.metrics if e.category is None] == ["vqa_accuracy"]
    result = mmbench.run("vqa", "majority", **small("clevr"))
    assert result.record.primary.name == "accuracy"


def test_ten_answers_are_trained_on_by_the_most_frequent_and_scored_officially(small):
    options = small("vqav2")
    result = mmbench.run("vqa", "gated_fusion", train=True, overrides=SHORT, **options)
    assert result.record.primary.name == "vqa_accuracy"
    assert {e.category for e in result.record.metrics} == {None, "other", "yes/no"}
    table = result.predictions()
    assert set(table["prediction"]) <= {"two", "yes"}
    assert sorted(set(table["target"][0])) == ["no", "two"]
    share = (table["prediction"] == ["two", "yes"] * 3).mean()
    assert result.value == pytest.approx(share)  # three of ten said no: seven are enough


def test_models_with_ten_answers_are_compared(small):
    models = ["majority", "question_only"]
    overrides = {"train.epochs": 1}
    comparison = compare("vqa", models, seeds=1, overrides=overrides, **small("vqav2"))
    by_model = {found.model: found for found in comparison.estimates}
    assert by_model["majority"].mean == pytest.approx(0.5)  # "yes", to every second question


def test_the_majority_counts_every_annotator():
    majority = registry.load("predictors", "majority")()
    majority.fit([Sample("1", {}, ["a", "b", "b"], "1"), Sample("2", {}, ["a", "b", "c"], "2")])
    assert [answer.value for answer in majority.predict([None])] == ["b"]


def test_the_answers_to_choose_from_are_the_most_frequent(task, small):
    options = small("clevr", options={"answers": 1})
    spec = task.dataset(options["dataset"], options["data_dir"])
    train = task.load(spec, "train")
    assert task.assets(train)["answers"] == ["0"]  # as frequent as "1", and first in order
    assert task.assets(replace(train, options={}))["answers"] == ["0", "1"]
    options = small("clevr", options={"answer": 1})
    with pytest.raises(MMBenchError, match="vqa knows no option 'answer'. Did you mean answers"):
        task.load(task.dataset(options["dataset"], options["data_dir"]), "train")


def test_an_answer_that_cannot_be_given_is_not_trained_on(task, small):
    options = small("clevr", options={"answers": 1})
    train = task.load(task.dataset(options["dataset"], options["data_dir"]), "train")
    recipe = task.resolve(load_recipe("concat_fusion", {"width": 16}), task.dataset())
    model = task.build(recipe, task.assets(train))
    batch = model.collate_training(train[:4], np.random.default_rng(0))
    assert batch["target"].tolist() == [0, -100, 0, -100]
    assert model.losses(batch)["answer"].item() == pytest.approx(
        0.0
    )  # one answer: nothing to learn


def choose(task, small, **overrides):
    options = small("scienceqa")
    train = task.load(task.dataset(options["dataset"], options["data_dir"]), "train")
    recipe = task.resolve(load_recipe("gated_fusion", {"width": 16} | overrides), task.dataset())
    torch.manual_seed(0)
    return task.build(recipe, task.assets(train)), train


def test_every_choice_gets_a_score_and_nothing_else(task, small):
    model, train = choose(task, small)
    model.eval()
    assert [len(sample.inputs["choices"]) for sample in train] == [3, 2, 2, 3]
    batch = model.collate_training(train, np.random.default_rng(0))
    logits = model(batch).logits
    assert logits.shape == (4, 3)
    assert logits.isinf().sum(1).tolist() == [0, 1, 1, 0]
    assert logits[1:3, 2].isinf().all()
    assert batch["target"].tolist() == [1, 0, 0, 1]
    alone = torch.cat([model(model.collate([sample])).logits.flatten() for sample in train])
    torch.testing.assert_close(alone, logits[~logits.isinf()])
    for smoothing in (0.0, 0.1):
        loss = model.losses(batch, smoothing)["answer"]
        assert loss.isfinite()
        loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_order_of_the_choices_does_not_matter(task, small):
    model, train = choose(task, small)
    model.eval()
    sample = train[0]
    turned = replace(sample, inputs={**sample.inputs, "choices": sample.inputs["choices"][::-1]})
    one, other = (model(model.collate([s])).logits[0] for s in (sample, turned))
    torch.testing.assert_close(one, other.flip(0))


def test_choices_are_learnt_and_answered_as_texts(small):
    overrides = {"train.epochs": 40, "train.batch": 4, "width": 16}
    options = small("scienceqa")
    result = mmbench.run(
        "vqa", "question_only", train=True, overrides=overrides, split="train", **options
    )
    table = result.predictions()
    assert set(table["prediction"]) <= {"the cat", "the dog", "number 1", "number 5"}
    assert result.value == 1.0
    assert {e.category for e in result.record.metrics} == {None, "natural science"}


def test_choices_need_an_encoder_for_text(task, small):
    with pytest.raises(MMBenchError, match="cannot tell them apart"):
        choose(task, small, **{"encoders": {"text": None}, "fusion": None})


def test_choices_and_answers_may_not_be_told_from_each_other_by_the_first_sample(task):
    samples = [
        Sample("1", {"text": "which?", "choices": ("a", "b")}, "a", "1"),
        Sample("2", {"text": "what?"}, "c", "2"),
    ]
    assert task.assets(SampleSet(samples, "x", "train", ""))["answers"] == ["a", "c"]


def test_what_is_skipped_is_on_record(task, small):
    options = small("clevr")
    trained_on = task.load(task.dataset(options["dataset"], options["data_dir"]), "train")[0].group
    for name in (f"train/{trained_on}", "val/CLEVR_val_000003.png", "val/CLEVR_val_000004.png"):
        (options["data_dir"] / "images" / name).write_bytes(b"broken")
    with pytest.raises(MMBenchError, match="4 of 24 samples cannot be used.*skip_bad=True"):
        mmbench.run("vqa", "majority", **options)
    result = mmbench.run("vqa", "majority", skip_bad=True, **options)
    assert result.record.samples == 20
    assert result.record.skipped == {"val": 4, "train": 2}
    text = " ".join(result.record.notes)
    assert "4 skipped in val: image images/val/CLEVR_val_000003.png cannot be decoded" in text
    assert "CLEVR_val_000004.png cannot be decoded" in text
    assert mmbench.load_run(result.path).record == result.record
