"""`mmbench probe --zero-shot`: classes told by their names in prompts."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import mmbench
from mmbench import registry
from mmbench.checkpoint import Checkpoint
from mmbench.errors import MMBenchError
from mmbench.experiments.probed_model import find_probed
from mmbench.experiments.zero_shot import class_vectors, embedded, expanded
from mmbench.recipe import load_recipe
from mmbench.records.probe_record import read_probe

ASKED = """
tasks: {retrieval: {}, captioning: {}, vqa: {}}
summary: scenes that are asked
homepage: made
licence: Apache-2.0
citation: see scenes
layout: {reader: scenes}
image_size: 64
splits:
  test: {part: test, first: 600}
"""
PROMPTS = ("the only object is a large {} in the middle", "a {} object")


@pytest.fixture(autouse=True)
def _records_go_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    path = tmp_path_factory.mktemp("asked") / "asked_scenes.yaml"
    path.write_text(ASKED)
    return str(path)


@pytest.fixture(scope="module")
def dual():
    """The shipped dual encoder, built."""
    found = find_probed("dual_encoder", "retrieval", "scenes")
    model = found.build()
    found.weights.restore(model)
    return model.eval()


@pytest.fixture
def checkpoint(asked, tmp_path):
    """`checkpoint(task, recipe)`: the path of one with weights as they are drawn."""

    def make(name, recipe="gated_fusion", words=("red", "a")):
        task = registry.load("tasks", name)()
        resolved = task.resolve(load_recipe(recipe, {"width": 16}), task.dataset(asked))
        assets = {"words": list(words), "answers": ["yes", "no"], "longest": 8}
        path = tmp_path / f"{name}.safetensors"
        tensors = task.build(resolved, assets).state_dict()
        found = Checkpoint(tensors, resolved.settings(), assets, {"task": name})
        path.write_bytes(found.to_bytes())
        return str(path)

    return make


def test_a_class_is_the_mean_of_its_prompts_vectors_of_length_one(dual):
    cpu = torch.device("cpu")
    found = class_vectors(dual, PROMPTS, ["red", "blue"], cpu)
    for place, name in enumerate(("red", "blue")):
        texts = [prompt.replace("{}", name) for prompt in PROMPTS]
        x, mask = dual.encoder("text").read(texts)
        with torch.inference_mode():
            pooled = dual.encoder("text").pool(dual.encoder("text")(x, mask))
            each = functional.normalize(dual.project["text"](pooled), dim=-1)
        expected = functional.normalize(each.mean(0), dim=-1)
        torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-5)
    alone = class_vectors(dual, PROMPTS[:1], ["red", "blue"], cpu)
    assert not torch.allclose(alone, found, atol=1e-3)


def test_choices_in_a_prompt_stand_for_all_of_them(asked):
    assert expanded("a [small|large] {} [at the top|]") == [
        *("a small {} at the top", "a small {} "),
        *("a large {} at the top", "a large {} "),
    ]
    assert expanded("a {}") == ["a {}"]
    short = mmbench.zero_shot("dual_encoder", asked, "shape", "a [small|large] {}")
    each = mmbench.zero_shot("dual_encoder", asked, "shape", ["a small {}", "a large {}"])
    assert short.texts == each.texts == 2
    assert short.by_class == each.by_class


def test_vectors_are_those_that_retrieval_compares(dual, asked):
    task = registry.load("tasks", "retrieval")()
    samples = task.load(task.dataset(asked), "test")[:8]
    batch = dual.collate(samples)
    with torch.inference_mode():
        expected, _ = dual.encode("image", batch)
    images = [sample.inputs["image"] for sample in samples if "image" in sample.inputs]
    found = embedded(dual, "image", images, torch.device("cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_of_pairs_tells_colours_by_their_names_without_any_training(asked):
    result = mmbench.zero_shot("dual_encoder", asked, "colour", PROMPTS)
    assert result.accuracy > 0.9
    assert result.low <= result.accuracy <= result.high
    assert len(result.classes) == 8
    assert set(result.by_class) <= set(result.classes)
    assert result.majority < 0.5
    assert result.unknown == []
    assert mmbench.zero_shot("dual_encoder", asked, "colour", PROMPTS).to_json() == result.to_json()
    record = read_probe(Path(result.path))
    assert record.asked.prompts == list(PROMPTS)
    assert record.entry("names").right.count("1") == round(result.accuracy * result.samples)
    table = mmbench.report("results", layout="probes")
    assert f"| {100 * result.accuracy:.1f} [" in table
    assert "Asked by 'the only object" in table
    one = mmbench.zero_shot("dual_encoder", asked, "colour", PROMPTS[0])
    assert one.path != result.path
    assert one.prompts == [PROMPTS[0]]
    assert one.samples == result.samples


@pytest.mark.whole
def test_the_command_prints_accuracy_and_prompts_or_json(asked, mmbench):
    call = ("probe", "--encoder", "dual_encoder", "--dataset", asked, "--target", "shape")
    call += ("--zero-shot", "a large {}", "--zero-shot", "a foto of a {}")
    shown = mmbench(*call)
    assert shown.returncode == 0, shown.stderr
    for words in ("zero-shot shape (5 classes)", "a large {}", "does not know: foto"):
        assert words in shown.stdout
    found = json.loads(mmbench(*call, "--json").stdout)
    assert found["prompts"] == ["a large {}", "a foto of a {}"]
    assert found["unknown"] == ["foto"]
    bad = mmbench(*call, "--zero-shot", "a thing")
    assert bad.returncode == 2
    assert "'a thing'" in bad.stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prompts": "a thing"}, "'a thing' must have {} once"),
        ({"prompts": "{} and {}"}, "must have {} once"),
        ({"prompts": []}, "needs a prompt"),
        ({"prompts": "a [small|large {}"}, "bracket without its other one"),
        ({"prompts": "a [small|{}] thing"}, "'a small thing' must have {} once"),
        ({"target": "count"}, "no word for 1, 2, 3, 4 of count"),
        ({"target": "shap"}, "Did you mean shape"),
        ({"modality": "text"}, "compares texts with a medium"),
        ({"modality": "video"}, "has no video"),
        ({"encoder": "dual_encodr"}, "Did you mean dual_encoder"),
        ({"split": "tset"}, "no split 'tset'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(asked, settings, says):
    given = {"encoder": "dual_encoder", "dataset": asked, "target": "shape", "prompts": "a {}"}
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.zero_shot(**given | settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("captioning", "has no text encoder"),
        ("vqa", "does not project text and image into one space"),
        ("retrieval", "no word for blue"),
    ],
)
def test_a_model_that_cannot_be_asked_by_prompts_is_one_line(asked, checkpoint, task, says):
    with pytest.raises(MMBenchError, match=says):
        mmbench.zero_shot(checkpoint(task), asked, "colour", "a {}")


def test_a_captioning_model_that_was_aligned_can_be_asked(asked, checkpoint):
    sizes = ("small", "large", "a", "object")
    result = mmbench.zero_shot(
        checkpoint("captioning", "blip", sizes), asked, "size", "a {} red object"
    )
    assert result.classes == ["large", "small"]
    assert result.unknown == ["red"]
