"""VQA about several media at once: every fusion, recipes that drop modalities, and a run."""

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.checkpoint import read_checkpoint
from mmbench.errors import MMBenchError
from mmbench.recipe import Recipe, load_recipe

FEW = """
task: vqa
summary: a few pairs
homepage: made
licence: Apache-2.0
citation: see interactions
layout: {reader: interactions}
modalities: [image, audio]
image_size: 32
encoders:
  image: {name: conv, channels: [4]}
  audio: {name: audio_transformer, layers: 1, longest: 10}
splits:
  train: {part: train, first: 128}
  validation: {part: validation, first: 64}
  test: {part: test, first: 128}
train: {epochs: 1, batch: 64}
"""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("interactions") / "few.yaml"
    path.write_text(FEW)
    return str(path)


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "vqa")()


@pytest.fixture(scope="module")
def samples(task, few):
    return task.load(task.dataset(few), "train")


def built(task, few, samples, recipe):
    torch.manual_seed(0)
    return task.build(task.resolve(recipe, task.dataset(few)), task.assets(samples))


def test_a_sample_has_a_picture_a_sound_and_a_question(samples):
    assert len(samples) == 256
    for sample in samples:
        assert set(sample.inputs) == {"image", "audio", "text"}
        assert sample.inputs["image"].row == sample.inputs["audio"].row == int(sample.group)
    assert samples[0].inputs["image"].array().shape == (32, 32, 3)
    assert samples[0].inputs["audio"].array().shape == (2000,)
    categories = [sample.category for sample in samples]
    assert {c: categories.count(c) for c in categories} == dict.fromkeys(
        ("redundant", "unique_image", "unique_audio", "synergy"), 64
    )


@pytest.mark.parametrize("name", [*registry.names("fusions"), *registry.names("late_fusions")])
def test_every_fusion_joins_a_question_with_a_picture_and_a_sound(task, few, samples, name):
    recipe = Recipe.model_validate({"fusion": name, "width": 16})
    late = registry.kind_of(name, ("fusions", "late_fusions")) == "late_fusions"
    most = None if late else registry.load("fusions", name).most_contexts
    if most is not None and most < 2:
        with pytest.raises(MMBenchError, match=f"at most {most}"):
            built(task, few, samples, recipe)
        return
    model = built(task, few, samples, recipe)
    with torch.no_grad():  # gates that begin shut let nothing through
        for parameter in model.fusion.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    batch = model.collate_training(samples[:24], np.random.default_rng(0))
    sum(model.losses(batch).values()).backward()
    for modality, encoder in model.encoders.items():
        moved = [p.grad is not None and bool(p.grad.any()) for p in encoder.parameters()]
        assert any(moved), modality
    model.eval()
    with torch.no_grad():
        logits = model(batch).logits
        silent = model(batch | {"audio": torch.zeros_like(batch["audio"])}).logits
    assert logits.shape == (24, 2)
    assert not torch.equal(logits, silent)


@pytest.mark.parametrize(
    ("name", "modalities"),
    [
        ("gated_fusion", ["text", "image", "audio"]),
        ("question_only", ["text"]),
        ("image_only", ["image"]),
        ("audio_only", ["audio"]),
        ("question_and_image", ["text", "image"]),
        ("question_and_audio", ["text", "audio"]),
    ],
)
def test_a_recipe_drops_the_modalities_that_it_names_null(task, few, samples, name, modalities):
    model = built(task, few, samples, load_recipe(name, {"width": 16}))
    assert list(model.encoders) == modalities
    assert len(model.answer(model.eval().collate(samples.queries[:8]))) == 8


def test_to_drop_a_modality_that_a_dataset_does_not_have_changes_nothing(task):
    spec = task.dataset()
    for name, dropped in (("question_only", "image"), ("image_only", "text")):
        recipe = task.resolve(load_recipe(name), spec)
        assert [m for m, part in recipe.encoders.items() if part is None] == [dropped]
        alone = Recipe.model_validate({"encoders": {dropped: None}, "width": 128})
        assert recipe.deciding(True) == task.resolve(alone, spec).deciding(True)


@pytest.mark.parametrize(
    ("encoders", "says"),
    [({"imge": None}, "Did you mean image"), ({"audio": "audio_transformer"}, "audio")],
)
def test_what_a_dataset_does_not_have_cannot_be_encoded(task, encoders, says):
    with pytest.raises(MMBenchError, match=says):
        task.resolve(Recipe.model_validate({"encoders": encoders}), task.dataset())


def test_a_recipe_of_a_modality_that_is_not_there_is_one_clear_line(task):
    with pytest.raises(MMBenchError, match="needs an encoder for image or text; both are null"):
        task.build(
            task.resolve(load_recipe("audio_only"), task.dataset()),
            {"words": ["a"], "answers": ["a"]},
        )


def test_the_majority_is_right_half_of_the_time_in_every_category(tmp_path):
    result = mmbench.run("vqa", "majority", dataset="interactions", out=tmp_path)
    assert {e.category: e.value for e in result.record.metrics} == dict.fromkeys(
        (None, "redundant", "unique_image", "unique_audio", "synergy"), 0.5
    )


def test_a_model_of_three_modalities_is_trained_and_read_back(task, few, tmp_path):
    result = mmbench.run(
        "vqa", "gated_fusion", dataset=few, train=True, overrides={"width": 16}, out=tmp_path
    )
    assert {e.category for e in result.record.metrics} == {
        *(None, "redundant", "unique_image", "unique_audio", "synergy")
    }
    weights = next(result.path.glob("weights.safetensors"))
    again = mmbench.run(
        *("vqa", "gated_fusion"),
        dataset=few,
        checkpoint=weights,
        overrides={"width": 16},
        out=tmp_path / "again",
    )
    assert again.predictions()["prediction"].tolist() == result.predictions()["prediction"].tolist()
    checkpoint = read_checkpoint(weights)  # whose keys stand in the order of the alphabet
    model = task.build(Recipe.model_validate(checkpoint.recipe), checkpoint.assets)
    assert list(model.encoders) == ["text", "image", "audio"]
