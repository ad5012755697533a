"""`--init`: which parts of a checkpoint a training begins from."""

import json

import pytest
import torch

import mmbench
from mmbench.checkpoint import read_checkpoint
from mmbench.errors import MMBenchError
from mmbench.experiments.beginning import begin_from
from mmbench.experiments.conditions import conditions
from mmbench.experiments.plan import make_plan
from mmbench.request import run_request

QUICK = {"width": 16, "train.epochs": 1, "train.batch": 16, "train.lr": 1e-12}


@pytest.fixture(scope="module")
def pretrained(scenes_file, tmp_path_factory):
    """A checkpoint of retrieval on scenes."""
    out = tmp_path_factory.mktemp("pretrained")
    overrides = QUICK | {"train.lr": 0.01}
    settings = {"dataset": scenes_file, "out": out, "train": True, "overrides": overrides}
    return mmbench.run("retrieval", "gated_fusion", **settings).path / "weights.safetensors"


def tune(dataset, out, init, task="vqa", model="gated_fusion", **options):
    overrides = QUICK | options.pop("overrides", {})
    settings = {"dataset": dataset, "out": out, "init": init, "overrides": overrides}
    return mmbench.run(task, model, train=True, **settings, **options)


def test_parts_are_taken_by_name_and_said(scenes_file, tmp_path, pretrained):
    result = tune(scenes_file, tmp_path, pretrained)
    old = read_checkpoint(pretrained)
    new = read_checkpoint(result.path / "weights.safetensors")
    for name in (
        "encoders.image.layers.0.weight",
        "fusion.tanh.weight",
        "encoders.text.words.weight",
    ):
        if name in old.tensors:
            rows = len(old.tensors[name])
            torch.testing.assert_close(
                new.tensors[name][:rows], old.tensors[name], atol=1e-6, rtol=0
            )
    assert new.assets["words"][: len(old.assets["words"])] == old.assets["words"]
    (note,) = [note for note in result.record.notes if note.startswith("begins from")]
    assert "taken: " in note
    taken = note.partition("taken: ")[2].partition(";")[0]
    assert {"encoders.image", "encoders.text", "fusion"} <= set(taken.split(", "))
    assert "does not fit, so new: decoder (" in note
    assert "not of this model: log_scale, project" in note
    assert result.record.identity.init == old.sha256
    identity = result.record.identity.model_copy(update={"init": None})
    plain = result.record.model_copy(update={"identity": identity})
    found = conditions({"a": [result.record], "b": [plain]})
    assert found.differed["what training begins from"]["b"] == "nothing"
    assert "what training begins from" in conditions({"a": [result.record]}).equal
    assert "what training begins from" not in conditions({"b": [plain]}).equal


def test_it_is_in_the_identity_by_its_content(scenes_file, tmp_path, pretrained):
    def identity(**options):
        request = {"task": "vqa", "model": "gated_fusion", "dataset": scenes_file, "train": True}
        return make_plan(run_request(**request, **options)).identity.hash

    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(pretrained.read_bytes())
    assert identity(init=copied) == identity(init=pretrained) != identity()


def test_a_checkpoint_that_fits_no_part_is_refused(scenes_file, tmp_path, pretrained):
    overrides = {"width": 24, "encoders.image.channels": [4]}
    with pytest.raises(MMBenchError, match="fits no part of this model: does not fit") as error:
        tune(scenes_file, tmp_path, pretrained, overrides=overrides)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"train": False}, "init is what a training begins from"),
        ({"model": "majority"}, "is not trained, so it takes no init="),
        ({"init": "nothing.safetensors"}, "cannot be read"),
    ],
)
def test_what_cannot_begin_from_a_checkpoint_is_refused(
    scenes_file, tmp_path, pretrained, options, says
):
    settings = {"model": "gated_fusion", "train": True, "init": pretrained} | options
    with pytest.raises(MMBenchError, match=says):
        mmbench.run("vqa", dataset=scenes_file, out=tmp_path, **settings)


class Small(torch.nn.Module):
    """A model of two parts."""

    def __init__(self, words, classes):
        super().__init__()
        text = torch.nn.ModuleDict({"words": torch.nn.Embedding(words + 2, 3)})
        self.encoders = torch.nn.ModuleDict({"text": text})
        self.decoder = torch.nn.Linear(3, classes)


def checkpoint_of(model, recipe, **assets):
    from mmbench.checkpoint import Checkpoint

    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    return Checkpoint(tensors, recipe, assets, {}, "some.safetensors")


def test_more_words_keep_the_vectors_of_those_that_were_known():
    from mmbench.recipe import Recipe

    old, new = Small(2, 4), Small(5, 4)
    before = new.encoders["text"]["words"].weight.detach().clone()
    recipe = Recipe.model_validate({"encoders": {"text": "gru"}, "decoder": "classifier"})
    plain = json.loads(recipe.model_dump_json())
    kept = checkpoint_of(old, plain, words=["a", "b"], answers=["x"])
    begun = begin_from(new, kept, recipe, {"words": ["a", "b", "c", "d", "e"], "answers": ["x"]})
    after = new.encoders["text"]["words"].weight
    assert torch.equal(after[:4], old.encoders["text"]["words"].weight)
    assert torch.equal(after[4:], before[4:])
    assert begun.taken == ["encoders.text", "decoder"]


def test_a_decoder_of_other_answers_or_of_another_kind_stays_new():
    from mmbench.recipe import Recipe

    recipe = Recipe.model_validate({"encoders": {"text": "gru"}, "decoder": "classifier"})
    plain = json.loads(recipe.model_dump_json())
    kept = checkpoint_of(Small(2, 4), plain, words=["a", "b"], answers=["x", "y"])
    begun = begin_from(Small(2, 4), kept, recipe, {"words": ["a", "b"], "answers": ["y", "x"]})
    assert begun.unfit == ["decoder (its answers are others)"]
    plain["encoders"]["text"]["name"] = "bag_of_words"
    kept = checkpoint_of(Small(2, 4), plain, words=["a", "b"], answers=["x", "y"])
    begun = begin_from(Small(2, 4), kept, recipe, {"words": ["a", "b"], "answers": ["x", "y"]})
    assert begun.unfit == ["encoders.text (it is bag_of_words there and gru here)"]
    assert begun.words.startswith("taken: decoder; does not fit, so new: encoders.text")
