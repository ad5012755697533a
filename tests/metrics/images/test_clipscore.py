"""CLIPScore on a small CLIP with random weights, and the published scores where CLIP is at hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.errors import MMBenchError
from mmbench.metrics.images.clip import clip
from mmbench.metrics.images.clipscore import CLIPScore, RefCLIPScore
from tests.tiny_clip import save_clip

CAPTIONS = ["a red square", "a dog on the grass", "two men"]
REFERENCES = [["a square", "something red"], ["the dog runs"], ["two men", "people", "a crowd"]]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in CAPTIONS]


@pytest.fixture
def cosine(checkpoint):
    """The cosine of two embeddings as transformers' own model computes it."""
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")

    def call(image, *captions):
        texts = [f"A photo depicts {caption}" for caption in captions]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=40)
        pixels = processor(images=Image.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            output = model(**inputs, **pixels)
        to_image = (output.text_embeds @ output.image_embeds.T)[:, 0]
        return to_image.numpy(), (output.text_embeds @ output.text_embeds.T)[0].numpy()

    return call


def test_clipscore_is_its_formula(checkpoint, images, cosine):
    expected = [2.5 * max(cosine(i, c)[0][0], 0) for i, c in zip(images, CAPTIONS, strict=True)]
    metric = CLIPScore(checkpoint)
    assert max(expected) > 0
    for found in (
        metric.statistics(CAPTIONS, images),
        metric.statistics(images, CAPTIONS),
        metric.statistics(CAPTIONS, [{"image": Image.fromarray(i)} for i in images]),
    ):
        assert found[:, 0] == pytest.approx(expected, abs=1e-5)
    assert metric.aggregate(found) == pytest.approx(np.mean(expected), abs=1e-5)


def test_refclipscore_is_its_formula(checkpoint, images, cosine):
    expected = []
    for image, caption, references in zip(images, CAPTIONS, REFERENCES, strict=True):
        seen, said = cosine(image, caption, *references)
        seen, said = 2.5 * max(seen[0], 0), max(*said[1:], 0)
        expected.append(2 * seen * said / (seen + said) if seen + said else 0)
    targets = [{"image": i, "references": r} for i, r in zip(images, REFERENCES, strict=True)]
    found = RefCLIPScore(checkpoint).statistics(CAPTIONS, targets)
    assert max(expected) > 0
    assert found[:, 0] == pytest.approx(expected, abs=1e-5)


def test_images_resized_by_several_threads_in_other_batches_have_the_same_embeddings(checkpoint):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + i, 50 - i, 3), dtype=np.uint8) for i in range(9)]
    one = clip(checkpoint).images(images, batch=4, threads=1)
    assert np.array_equal(one, clip(checkpoint).images(images, batch=4, threads=4))
    assert clip(checkpoint).images(images, batch=9, threads=2) == pytest.approx(one, abs=1e-6)
    with pytest.raises(MMBenchError, match="image 5"):
        clip(checkpoint).images([*images[:5], "no image"], threads=4)


def test_inputs_made_image_by_image_are_those_of_the_processor_for_all(checkpoint, images):
    model = clip(checkpoint)
    together = model._processor(images=[Image.fromarray(i) for i in images], return_tensors="pt")
    seen = []
    hook = model._model.vision_model.register_forward_pre_hook(lambda _, given: seen.append(*given))
    model.images(images)
    hook.remove()
    assert torch.equal(torch.cat(seen), together["pixel_values"])


def test_an_empty_caption_scores_zero_and_a_long_one_is_cut(checkpoint, images):
    captions = ["  ", "a " * 500, "a dog"]
    found = CLIPScore(checkpoint).statistics(captions, images)
    assert found[0, 0] == 0
    assert np.isfinite(found).all()


def test_the_signature_holds_the_weights_and_no_path(checkpoint, tmp_path):
    signature = CLIPScore(checkpoint).signature
    assert "checkpoint:sha256-" in signature
    assert checkpoint not in signature
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_bytes(b"other weights")
    assert CLIPScore(str(other)).signature != signature


def test_the_environment_names_the_checkpoint(checkpoint, monkeypatch):
    monkeypatch.setenv("MMBENCH_CLIP", checkpoint)
    assert CLIPScore().signature == CLIPScore(checkpoint).signature


@pytest.mark.parametrize("metric", [CLIPScore, RefCLIPScore])
def test_an_unusable_checkpoint_is_one_clear_line(metric, tmp_path, images):
    targets = [{"image": i, "references": ["a dog"]} for i in images]
    with pytest.raises(MMBenchError, match="cannot be loaded.*MMBENCH_CLIP") as said:
        metric(str(tmp_path)).statistics(CAPTIONS, targets)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("metric", "predictions", "targets", "message"),
    [
        (CLIPScore, ["a"], ["b", "c"], "1 predictions, 2 targets"),
        (CLIPScore, [], [], "0 predictions, 0 targets"),
        (CLIPScore, [3], [4], "captions with their images"),
        (CLIPScore, ["a"], [{"references": ["b"]}], "has an 'image'"),
        (RefCLIPScore, ["a"], [{"image": None}], "one caption or more"),
        (RefCLIPScore, ["a"], [{"image": None, "references": []}], "one caption or more"),
        (RefCLIPScore, [1], [{"image": None, "references": ["a"]}], "scores captions, got a int"),
    ],
)
def test_what_is_no_pair_is_said(metric, predictions, targets, message, checkpoint):
    with pytest.raises(MMBenchError, match=message):
        metric(checkpoint).statistics(predictions, targets)


@pytest.mark.parametrize("quality", ["good", "bad"])
def test_published_scores_of_clipscores_readme(shared_data, quality):
    real = os.environ.get("MMBENCH_TEST_CLIP")
    if not real:
        pytest.skip("needs openai/clip-vit-base-patch32, its folder named by MMBENCH_TEST_CLIP")
    cases = shared_data / "metric_cases"
    published = json.loads((cases / "published_cases.json").read_text())
    expected = published[f"clipscore_readme_{quality}"]["expected"]
    folder = Path(cases / "clipscore_example")
    captions = json.loads((folder / f"{quality}_captions.json").read_text())
    references = json.loads((folder / "refs.json").read_text())
    targets = [
        {"image": Image.open(folder / f"{name}.jpg"), "references": references[name]}
        for name in captions
    ]
    for metric, key in ((CLIPScore(real), "CLIPScore"), (RefCLIPScore(real), "RefCLIPScore")):
        value = metric.aggregate(metric.statistics(list(captions.values()), targets))
        assert value == pytest.approx(expected[key], abs=5e-4)
