"""CLIPScore through a checkpoint of transformers: a tiny one, saved in the format of the real."""

import json

import numpy as np
import pytest

from mmbench.errors import MMBenchError
from mmbench.metrics.images.clipscore import CLIPScore, RefCLIPScore


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {w: i for i, w in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    sizes |= {"num_hidden_layers": 2, "projection_dim": 8}
    end = vocabulary["<|endoftext|>"]
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 32, "eos_token_id": end}
    config = CLIPConfig(
        text_config=sizes | text | {"bos_token_id": end - 1, "pad_token_id": end},
        vision_config=sizes | {"image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessorPil(**size).save_pretrained(folder)
    return folder


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 48, 3)).astype(np.uint8) for _ in range(3)]
    return images, ["a dog", "two cats", " "]


def test_clipscore_is_that_of_the_models_own_embeddings(checkpoint, pairs):
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    images, captions = pairs
    model = CLIPModel.from_pretrained(checkpoint).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    expected = []
    for image, caption in zip(images[:2], captions[:2], strict=True):
        inputs = processor(images=[Image.fromarray(image)], return_tensors="pt")
        inputs |= tokenizer([f"A photo depicts {caption}"], return_tensors="pt")
        with torch.inference_mode():
            found = model(**inputs)
        expected.append(2.5 * max(float((found.image_embeds * found.text_embeds).sum()), 0))
    metric = CLIPScore(str(checkpoint))
    values = metric.statistics(captions, images)[:, 0]
    assert values[:2] == pytest.approx(expected, abs=1e-5)
    assert values[2] == 0, "an empty caption"
    np.testing.assert_allclose(metric.statistics(images, captions)[:, 0], values, atol=1e-6)
    assert "checkpoint:sha256-" in metric.signature


def test_refclipscore_with_the_caption_as_reference_is_its_harmonic_mean_with_one(
    checkpoint, pairs
):
    images, captions = pairs
    clipscore = CLIPScore(str(checkpoint)).statistics(captions[:2], images[:2])[:, 0]
    targets = [
        {"image": image, "references": ["a tree", caption]}
        for image, caption in zip(images[:2], captions[:2], strict=True)
    ]
    found = RefCLIPScore(str(checkpoint)).statistics(captions[:2], targets)[:, 0]
    assert found == pytest.approx(2 * clipscore / (clipscore + 1), abs=1e-5)


def test_checkpoint_that_is_not_there_is_one_clear_error(tmp_path, pairs):
    images, captions = pairs
    (tmp_path / "empty").mkdir()
    with pytest.raises(MMBenchError, match=r"cannot be loaded.*MMBENCH_CLIP"):
        CLIPScore(str(tmp_path / "empty")).statistics(captions, images)
