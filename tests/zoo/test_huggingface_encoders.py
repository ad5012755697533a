"""Encoders that begin from a checkpoint of transformers, against transformers called directly."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench import published_checkpoint, registry
from mmbench.checkpoint import Checkpoint, read_checkpoint
from mmbench.data.features import FeatureCache
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import parameter_counts
from mmbench.zoo.part import build_part
from mmbench.zoo.pooling import make_pooling
from tests.tiny_checkpoints import TYPES, save_checkpoint, with_head

D = 8
NAMES = sorted(TYPES)
every = pytest.mark.parametrize("name", NAMES)
TEXTS = ["a man rides horses!", "dog", "a dog, a man"]
RNG = np.random.default_rng(0)
MEDIA = {
    "image": [RNG.integers(0, 256, (48, 40, 3), dtype=np.uint8) for _ in range(3)],
    "video": [RNG.integers(0, 256, (9, 40, 48, 3), dtype=np.uint8) for _ in range(3)],
    "audio": [RNG.integers(-9000, 9000, 2000, dtype=np.int16) for _ in range(3)],
}


class Held:
    """What a sample holds of a medium."""

    rate = 8000

    def __init__(self, values, rate=8000):
        self.values, self.rate = values, rate

    def array(self):
        return self.values


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """By type of network, the folder of a checkpoint."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {kind: save_checkpoint(kind, root / kind) for kind in sorted({*TYPES.values()})}


@pytest.fixture
def built(folders):
    """`built(name, **options)`: an encoder that begins from its checkpoint."""

    def build(name, **options):
        torch.manual_seed(0)
        options = {"pretrained": folders[TYPES[name]]} | options
        vocabulary = Vocabulary(["word"])
        return build_part("encoders", name, options, dim=D, vocabulary=vocabulary)

    return build


def values_of(encoder):
    return TEXTS if encoder.modality == "text" else [Held(v) for v in MEDIA[encoder.modality]]


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


@every
def test_a_frozen_network_is_neither_trained_nor_kept_and_its_features_stand_for_it(
    name, built, tmp_path
):
    encoder = built(name).train()
    x, mask = encoder.read(values_of(encoder))
    assert encoder.frozen
    assert {key.partition(".")[0] for key, _ in encoder.named_parameters()} == {"norm", "project"}
    found = encoder.extract(x, mask)
    assert not found.tokens.requires_grad
    kept = encoder.of_features(found.tokens.half(), found.mask)
    torch.testing.assert_close(kept.pool(), encoder(x, mask).pool(), atol=1e-2, rtol=1e-2)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
    other = built(name)
    torch.nn.init.normal_(other.project.weight)
    read_checkpoint(path).restore(other)
    assert torch.equal(other(x, mask).tokens, encoder(x, mask).tokens)


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


def trained_names(encoder):
    return {key for key, p in encoder.named_parameters() if p.requires_grad}


@every
def test_unfreezing_trains_the_last_layers_or_all_and_keeps_them_in_the_checkpoint(
    name, built, tmp_path
):
    counts = {}
    for unfreeze in ("none", "last_1", "last_2", "all"):
        encoder = built(name, unfreeze=unfreeze).train()
        x, mask = encoder.read(values_of(encoder))
        pooled = encoder(x, mask).pool()
        (pooled * torch.randn_like(pooled)).sum().backward()
        missing = [k for k, p in encoder.named_parameters() if p.grad is None]
        assert [key for key in missing if "mask_token" not in key] == []
        counts[unfreeze] = sum(p.numel() for p in encoder.parameters())
        own = {"norm.weight", "norm.bias", "project.weight", "project.bias"}
        assert (trained_names(encoder) == own) is (unfreeze == "none")
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        encoder.eval()
        path = tmp_path / f"{unfreeze}.safetensors"
        path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
        other = built(name, unfreeze=unfreeze).eval()
        read_checkpoint(path).restore(other)
        torch.testing.assert_close(other(x, mask).pool(), encoder(x, mask).pool())
        frozen = encoder.frozen_parameters
        assert counts[unfreeze] + frozen == counts["none"] + built(name).frozen_parameters
    assert counts["none"] < counts["last_1"] < counts["last_2"] < counts["all"]


def test_what_is_frozen_of_a_network_stays_in_evaluation_mode_and_is_counted_apart(built):
    encoder = built("resnet", unfreeze="last_1").train()
    network = encoder.network_on(torch.device("cpu"))
    stages = network.encoder.stages
    assert [stage.layers[0].layer[0].normalization.training for stage in stages] == [
        *(False, False, False, True)
    ]
    x, mask = encoder.read(values_of(encoder))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    encoder(x, mask).pool().square().sum().backward()
    moved = [k for k, v in network.state_dict().items() if not torch.equal(v, before[k])]
    assert moved
    assert all(key.startswith("encoder.stages.3") for key in moved)
    model = torch.nn.Module()
    model.encoders = torch.nn.ModuleDict({"image": encoder})
    counts = parameter_counts(model)
    assert counts["encoders.image (frozen)"] == encoder.frozen_parameters > 0


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


def test_adapters_alone_are_trained_and_kept(built, tmp_path):
    pytest.importorskip("peft")
    for name in ("vit", "bert", "gpt2"):
        encoder = built(name, lora={"rank": 2}).train()
        plain = built(name).eval()
        x, mask = encoder.read(values_of(encoder))
        torch.testing.assert_close(encoder.extract(x, mask).tokens, plain.extract(x, mask).tokens)
        names = {key for key in trained_names(encoder) if key.startswith("trained")}
        assert names
        assert all("lora" in key for key in names)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += torch.randn_like(parameter)
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
        assert path.stat().st_size < 40_000
        other = built(name, lora={"rank": 2})
        read_checkpoint(path).restore(other)
        torch.testing.assert_close(other.eval()(x, mask).pool(), encoder.eval()(x, mask).pool())


def test_without_peft_adapters_are_one_line_that_says_what_to_install(built, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MMBenchError, match=r"lora needs peft.*pip install 'mmbench\[lora\]'"):
        built("vit", lora={"rank": 2})


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


BAD = [
    ("vit", "bert", {}, "of a network of type bert.*vit.*The encoder bert reads it"),
    ("bert", "gpt2", {}, "of a network of type gpt2"),
    ("vit", "vit", {"unfreeze": "lots"}, "unfreeze must be none, all, or last_.*got 'lots'"),
    ("vit", "vit", {"unfreeze": "last_0"}, "unfreeze must be none"),
    ("vit", "vit", {"unfreeze": "last_4"}, "unfreeze must be at most last_3"),
    ("vit", "vit", {"layers": 2}, "layers is of a network from nothing"),
    ("vit", "vit", {"revision": "main"}, "is a folder, which has no revision"),
    ("vit", "vit", {"lora": {"rank": 0}}, "vit.lora .*greater than or equal to 1"),
    ("vit", "vit", {"lora": {"rank": 2}, "unfreeze": "all"}, "leave `unfreeze: all` out"),
]


@pytest.mark.parametrize(("name", "kind", "options", "says"), BAD)
def test_what_cannot_be_is_one_line(name, kind, options, says, built, folders):
    with pytest.raises(MMBenchError, match=says) as raised:
        built(name, pretrained=folders[kind], **options)
    assert "\n" not in str(raised.value)


def without(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def code_in(file):
    def change(folder):
        path = folder / file
        value = json.loads(path.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}
        path.write_text(json.dumps(value))

    return change


class _Harmful:
    def __reduce__(self):
        return print, ("this would have run",)


def pickled(folder):
    (folder / "model.safetensors").unlink()
    torch.save(_Harmful(), folder / "pytorch_model.bin")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def lacking(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state = {k: v for k, v in state.items() if "layer.1" not in k and "layers.1" not in k}
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def other_size(folder):
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"height": 32', '"height": 40'))


DAMAGED = [
    ("vit", pickled, "weights as pytorch_model.bin alone.*never a pickle"),
    ("vit", without("model.safetensors"), "has no model.safetensors"),
    ("vit", without("config.json"), "lacks config.json"),
    ("vit", without("preprocessor_config.json"), "without its image processor"),
    ("ast", without("preprocessor_config.json"), "without its feature extractor"),
    ("bert", without("vocab.txt"), "without its tokenizer"),
    ("gpt2", without("vocab.json", "merges.txt"), "without its tokenizer"),
    ("vit", code_in("config.json"), "code of its own .auto_map in config.json"),
    ("bert", code_in("tokenizer_config.json"), "code of its own .auto_map in tokenizer_config"),
    ("vit", cut, "network cannot be loaded"),
    ("vit", lacking, "lacks .* of the network's weights"),
    ("vit", other_size, "gives images of .40, 32. pixels, and its network reads .32, 32."),
    ("vit", lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    ("vit", lambda folder: (folder / "adapter_config.json").write_text("{}"), "an adapter"),
]


@pytest.mark.parametrize(("name", "change", "says"), DAMAGED)
def test_a_checkpoint_that_cannot_be_used_is_one_line(
    name, change, says, built, folders, tmp_path, capfd
):
    folder = shutil.copytree(folders[TYPES[name]], tmp_path / "copy")
    change(folder)
    with pytest.raises(MMBenchError, match=says) as raised:
        built(name, pretrained=str(folder))
    assert "\n" not in str(raised.value)
    assert "this would have run" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unfreeze": "all"}, "unfreeze is for a network that begins from a checkpoint"),
        ({"lora": {"rank": 2}}, "lora is for a network that begins from a checkpoint"),
        ({"revision": "main"}, "revision is for a network that begins from a checkpoint"),
        ({"heads": 3}, "heads must divide the hidden width 8, got 3"),
        ({"patch": 7}, "patch must divide the size 64 of an image, got 7"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"pretrained": "./no/such"}, "no folder of a checkpoint at ./no/such"),
        ({"pretrained": "/no/such"}, "no folder of a checkpoint at /no/such"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("encoders", "vit", options, dim=D)


def test_loading_draws_nothing_on_the_terminal(built, capfd):
    built("clip_vision")
    built("bert")
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def hub(folders, tmp_path, monkeypatch):
    """A hub's cache that holds a checkpoint, as the hub lays it out, and no network."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "hub" / "models--someone--tiny-vit"
    shutil.copytree(folders["vit"], root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return root / "snapshots" / commit


def test_a_name_on_the_hub_is_found_in_its_cache_at_its_revision(hub, built):
    for revision in (None, "main", hub.name):
        options = {} if revision is None else {"revision": revision}
        encoder = built("vit", pretrained="someone/tiny-vit", **options)
        assert encoder.checkpoint.revision == hub.name
        assert hub.name in str(encoder.checkpoint)
        assert encoder.fingerprint == built("vit").fingerprint


@pytest.mark.parametrize(
    ("name", "revision"), [("someone/other", None), ("someone/tiny-vit", "v2"), ("tiny", None)]
)
def test_what_the_cache_lacks_is_one_line_without_network(hub, built, name, revision):
    with pytest.raises(MMBenchError, match="not in the hub's cache and cannot be had") as raised:
        built("vit", pretrained=name, revision=revision)
    assert "\n" not in str(raised.value)


def test_a_snapshot_without_weights_is_not_taken_for_one(hub, built):
    (hub / "model.safetensors").unlink()
    with pytest.raises(MMBenchError, match=r"cannot be had|has no model\.safetensors"):
        built("vit", pretrained="someone/tiny-vit")


def test_shards_are_read_and_hashed_like_one_file(folders, tmp_path, built):
    torch.manual_seed(0)
    model = with_head("vit")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    settings = "preprocessor_config.json"
    shutil.copy(f"{folders['vit']}/{settings}", tmp_path / "shards" / settings)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    encoder, whole = built("vit", pretrained=str(tmp_path / "shards")), built("vit")
    x, mask = encoder.read(values_of(encoder))
    assert torch.equal(encoder.extract(x, mask).tokens, whole.extract(x, mask).tokens)
    before = published_checkpoint.find_checkpoint(str(tmp_path / "shards")).sha256
    shard = sorted((tmp_path / "shards").glob("*.safetensors"))[-1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(bytes(content))
    assert published_checkpoint.find_checkpoint(str(tmp_path / "shards")).sha256 != before
