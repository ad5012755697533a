"""Encoders that begin from a checkpoint of transformers, against transformers called directly."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench import registry
from mmbench.data.features import FeatureCache
from mmbench.zoo.part import build_part
from mmbench.zoo.pooling import make_pooling
from tests.tiny_checkpoints import TYPES, save_checkpoint
from tests.zoo.checkpoint_inputs import MEDIA, TEXTS, D, Held, every, values_of


def expected(name, folder):
    """What transformers makes of the same inputs, called as its documentation does."""
    import transformers as t

    cls, modality = registry.load("encoders", name), registry.load("encoders", name).modality
    if modality == "text":
        model = {"bert": t.BertModel, "gpt2": t.GPT2Model, "clip_text": t.CLIPTextModel}[name]
        tokenizer = t.AutoTokenizer.from_pretrained(folder)
        longest = 12 if name == "bert" else 40
        if name == "gpt2":
            tokenizer.pad_token = tokenizer.eos_token
            longest = 100
        given = tokenizer(
            TEXTS, padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        network = model.from_pretrained(folder).eval()
        inputs = {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"]}
        with torch.no_grad():
            return network(**inputs).last_hidden_state, given["attention_mask"].bool()
    if modality == "audio":
        extractor = t.ASTFeatureExtractor.from_pretrained(folder)
        waves = [wave.astype(np.float32) / 32768 for wave in MEDIA["audio"]]
        given = extractor(waves, sampling_rate=8000, return_tensors="pt")
        with torch.no_grad():
            tokens = t.ASTModel.from_pretrained(folder).eval()(given["input_values"].float())
        return tokens.last_hidden_state, None
    processor = t.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = {
        "vit": t.ViTModel,
        "resnet": t.ResNetModel,
        "clip_vision": t.CLIPVisionModel,
        "siglip_vision": t.SiglipVisionModel,
        "video_transformer": t.VideoMAEModel,
    }[name]
    network = model.from_pretrained(folder).eval()
    if modality == "video":
        frames = [[Image.fromarray(video[i]) for i in (0, 3, 5, 8)] for video in MEDIA["video"]]
        pixels = torch.cat([processor(f, return_tensors="pt")["pixel_values"] for f in frames])
    else:
        images = [Image.fromarray(image) for image in MEDIA["image"]]
        pixels = processor(images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = network(pixels).last_hidden_state
        if name == "clip_vision":
            found = network.post_layernorm(found)
    assert cls.modality == modality
    return (found.flatten(2).transpose(1, 2) if found.ndim == 4 else found), None


@every
def test_features_are_those_of_transformers_with_the_checkpoints_own_preparation(
    name, built, folders
):
    encoder = built(name)
    x, mask = encoder.read(values_of(encoder))
    found = encoder.extract(x, mask)
    tokens, there = expected(name, folders[TYPES[name]])
    assert found.mask.equal(torch.ones(tokens.shape[:2]).bool() if there is None else there)
    torch.testing.assert_close(found.tokens[found.mask], tokens[found.mask], atol=2e-5, rtol=1e-4)


def test_the_token_that_clip_compares_is_the_first_of_an_image_and_the_last_of_a_text(
    built, folders
):
    import transformers as t

    for name, model, pooling in (
        ("clip_vision", t.CLIPVisionModel, "first"),
        ("clip_text", t.CLIPTextModel, "last"),
    ):
        encoder = built(name)
        x, mask = encoder.read(values_of(encoder))
        network = model.from_pretrained(folders["clip"]).eval()
        given = {"pixel_values": encoder.pixels(x)} if mask is None else {"input_ids": x}
        with torch.no_grad():
            pooled = network(**given).pooler_output
        found = make_pooling(pooling, D)(encoder.extract(x, mask))
        torch.testing.assert_close(found, pooled, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["bert", "gpt2", "clip_text"])
def test_features_from_the_cache_equal_direct_ones(name, built, tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path))
    encoder = built(name)
    cache = FeatureCache(encoder.fingerprint, np.float32)

    def compute(values):
        for value in values:
            x, mask = encoder.read([value])
            yield encoder.extract(x, mask).tokens[0].numpy()

    cache.add(TEXTS, compute, "features")
    features, mask = map(torch.from_numpy, cache.rows(TEXTS))
    direct = encoder(*encoder.read(TEXTS))
    assert torch.equal(mask, direct.mask)
    torch.testing.assert_close(
        encoder.of_features(features, mask).clean(), direct.clean(), atol=1e-5, rtol=1e-4
    )


def test_the_fingerprint_is_of_the_checkpoints_bytes(built, folders, tmp_path):
    known = built("vit").fingerprint
    assert built("vit").fingerprint == known
    for number, change in enumerate(("weights", "processor")):
        folder = tmp_path / change
        if change == "weights":
            save_checkpoint("vit", folder, seed=1)
        else:
            shutil.copytree(folders["vit"], folder)
            path = folder / "preprocessor_config.json"
            path.write_text(path.read_text().replace("0.4", "0.45"))
        assert built("vit", pretrained=str(folder)).fingerprint != known, number
    copy = shutil.copytree(folders["vit"], tmp_path / "copy")
    assert built("vit", pretrained=str(copy)).fingerprint == known


@every
@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_a_step_in_bfloat16_gives_finite_gradients(name, unfreeze, built):
    encoder = built(name, unfreeze=unfreeze).train()
    x, mask = encoder.read(values_of(encoder))
    with torch.autocast("cpu", torch.bfloat16):
        loss = encoder(x, mask).pool().float().square().sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


@every
def test_the_rest_of_a_model_starts_alike_whatever_loading_draws(name, built):
    encoder = built(name)
    torch.manual_seed(0)
    alone = torch.nn.Linear(encoder.features, D)
    assert torch.equal(encoder.project.weight, alone.weight)


def test_sounds_are_resampled_to_the_checkpoints_rate(built):
    encoder = built("ast")
    seconds = np.arange(8000) / 8000
    wave = (8000 * np.sin(2 * np.pi * 440 * seconds)).astype(np.int16)
    one, _ = encoder.read([Held(wave)])
    other, _ = encoder.read([Held(wave[::2], rate=4000)])
    torch.testing.assert_close(one[:, 2:20, :6], other[:, 2:20, :6], atol=0.2, rtol=0)
    wrong, _ = encoder.read([Held(wave[::2])])
    assert (one - wrong)[:, 2:20, :6].abs().max() > 0.5


def test_a_text_is_cut_at_what_the_network_reads_and_none_is_empty(built):
    for name, longest in (("bert", 12), ("gpt2", 100), ("clip_text", 40)):
        x, mask = built(name).read(["dog " * 99, ""])
        assert x.shape[1] == longest
        assert mask.any(1).all()


def test_loading_draws_nothing_on_the_terminal(built, capfd):
    built("clip_vision")
    built("bert")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["vit", "video_transformer"])
@pytest.mark.parametrize("width", [32, 128])
def test_a_network_from_nothing_starts_at_a_deviation_that_suits_its_width(name, width):
    torch.manual_seed(0)
    encoder = build_part("encoders", name, {"layers": 1}, dim=width)
    weights = [p for key, p in encoder.named_parameters() if ".0." in key and p.ndim == 2]
    assert len(weights) == 6
    for weight in weights:
        assert weight.std().item() == pytest.approx(width**-0.5, rel=0.15)
