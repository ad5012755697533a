"""Two folders of images, scored without a model."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mmbench
from mmbench.data.image_folder import read_images
from mmbench.errors import MMBenchError
from mmbench.metrics.images.frechet import FrechetDistance
from tests.tiny_clip import save_clip


@pytest.fixture
def folders(tmp_path):
    """Twelve smooth images, and eight others, as PNG."""
    rng = np.random.default_rng(0)
    for name, number, light in (("real", 12, 0), ("fake", 8, 60)):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(number):
            pixels = rng.integers(0, 190, (4, 4, 3)).astype(np.uint8) + light
            Image.fromarray(pixels.astype(np.uint8)).resize((64, 64)).save(folder / f"{i}.png")
    return tmp_path


def test_folders_are_scored_on_named_features_and_few_images_are_noted(folders):
    result = mmbench.score("generation", folders / "fake", folders / "real", out=folders / "out")
    values = {m.name: m.value for m in result.record.metrics}
    assert values["fd_efficientnet_lite0"] > 1
    distance = result.record.metrics[0]
    assert distance.interval.replicates < 1000
    assert distance.interval.low < distance.value < distance.interval.high
    assert "moved to the value" in distance.interval.method
    assert result.record.samples == 8
    assert any("1280" in note for note in result.record.notes), result.record.notes
    same = mmbench.score("generation", folders / "real", folders / "real", out=folders / "out")
    assert same.value == pytest.approx(0, abs=1e-6)


def test_fid_is_refused_on_other_features():
    with pytest.raises(MMBenchError, match=r"[Ii]nception"):
        FrechetDistance("efficientnet_lite0", name="fid")


def test_fid_without_inception_weights_says_what_is_needed(folders, monkeypatch):
    monkeypatch.setenv("MMBENCH_INCEPTION_WEIGHTS", str(folders / "absent.pth"))
    with pytest.raises(MMBenchError, match=r"absent\.pth"):
        mmbench.score("generation", folders / "fake", folders / "real", metrics=["fid"])


def test_truncated_image_is_named(folders):
    path = folders / "fake" / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MMBenchError, match=r"1 of 8 images cannot be read: 3\.png"):
        mmbench.score("generation", folders / "fake", folders / "real", out=folders / "out")
    assert not (folders / "out").exists()
    (folders / "empty").mkdir()
    with pytest.raises(MMBenchError, match="holds no images"):
        read_images(folders / "empty", "prediction")
    with pytest.raises(MMBenchError, match="is not a folder of images"):
        read_images(folders / "absent", "prediction")
    assert json.dumps(read_images(folders / "real", "target").names[:2]) == '["0.png", "1.png"]'


def no_network(*_, **__):
    raise OSError("no network")


def test_features_without_weights_fail_alone(folders, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folders / "no_weights"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    names = ["kid_efficientnet_lite0", "fid"]
    sides = (folders / "fake", folders / "real")
    result = mmbench.score("generation", *sides, metrics=names, out=folders / "out")
    assert [m.name for m in result.record.metrics] == names[:1]
    assert "Inception-v3 weights of the FID are absent" in result.record.failed["fid"]


def test_images_are_scored_from_tables_of_their_paths(folders):
    for name in ("fake", "real"):
        column = "prediction" if name == "fake" else "target"
        paths = sorted((folders / name).iterdir())
        rows = [{"id": i, column: f"{name}/{path.name}"} for i, path in enumerate(paths)]
        (folders / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    metrics = ["kid_efficientnet_lite0"]
    out = folders / "out"
    found = [
        mmbench.score("generation", folders / a, folders / b, metrics=metrics, out=out).value
        for a, b in (("fake", "real"), ("fake.jsonl", "real.jsonl"))
    ]
    assert found[0] == found[1]
    (folders / "fake" / "3.png").unlink()
    with pytest.raises(MMBenchError, match=r"1 of 8 images cannot be read: 3\.png"):
        read_images(folders / "fake.jsonl", "prediction")


def test_images_are_scored_against_their_prompts(folders, monkeypatch):
    monkeypatch.setenv("MMBENCH_CLIP", save_clip(folders / "clip"))
    prompts = {str(i): f"a picture of {i} dogs" for i in range(8)}
    (folders / "prompts.json").write_text(json.dumps(prompts))
    sides = (folders / "fake", folders / "prompts.json")
    result = mmbench.score("generation", *sides, out=folders / "out")
    assert [m.name for m in result.record.metrics] == ["clipscore"]
    assert result.record.samples == 8
    (folders / "prompts.json").write_text(json.dumps({"0": "a dog", "9": "a cat"}))
    with pytest.raises(MMBenchError, match="1 ids have no prediction: 9"):
        mmbench.score("generation", *sides, out=folders / "out")


def test_images_have_no_pairs_to_test(folders):
    sides = (folders / "fake", folders / "real")
    names = ["kid_efficientnet_lite0"]
    record = mmbench.score("generation", *sides, metrics=names, out=folders / "out").path
    with pytest.raises(MMBenchError, match="no pairs to test"):
        mmbench.compare_predictions(None, record, record)
    with pytest.raises(MMBenchError, match="no pairs to test"):
        mmbench.compare_predictions("generation", sides[0], folders / "x", folders / "real")
