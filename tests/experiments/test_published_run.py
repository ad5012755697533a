"""Runs whose encoders begin from checkpoints of transformers: what they are, and what they keep."""

import shutil
import subprocess

import pytest

import mmbench
from mmbench.checkpoint import read_checkpoint
from mmbench.errors import MMBenchError
from tests.conftest import command_line, environment
from tests.tiny_checkpoints import save_checkpoint

SHORT = {"train.epochs": 1, "train.batch": 32, "width": 8}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {kind: save_checkpoint(kind, root / kind) for kind in ("vit", "bert")}


@pytest.fixture
def run(mini, tmp_path):
    def call(image, text, **options):
        overrides = SHORT | {"encoders.image": image, "encoders.text": text}
        settings = {"dataset": mini, "out": tmp_path / "results", "train": True} | options
        return mmbench.run("vqa", "gated_fusion", overrides=overrides, **settings)

    return call


def test_a_run_is_known_by_its_checkpoints_bytes_and_not_by_where_they_lie(run, folders, tmp_path):
    image = {"name": "vit", "pretrained": folders["vit"]}
    text = {"name": "bert", "pretrained": folders["bert"], "unfreeze": "last_1"}
    first = run(image, text)
    settings = first.record.identity.settings
    assert settings["encoders.image.pretrained"].startswith("sha256:")
    assert settings["encoders.text.unfreeze"] == "last_1"
    assert any("encoders.image begins from" in note for note in first.record.notes)
    frozen = {part: n for part, n in first.record.parameters.items() if part.endswith("(frozen)")}
    assert set(frozen) == {"encoders.image (frozen)", "encoders.text (frozen)"}

    moved = shutil.copytree(folders["vit"], tmp_path / "elsewhere")
    again = run(image | {"pretrained": str(moved)}, text)
    assert again.reused
    assert again.record.identity.hash == first.record.identity.hash

    weights = first.path / "weights.safetensors"
    kept = [name for name in read_checkpoint(weights).tensors if ".trained." in name]
    assert kept
    assert all("encoders.text.trained.encoder/layer/2." in name for name in kept)
    restored = run(image, text, train=False, checkpoint=weights)
    answers = [result.predictions()["prediction"].tolist() for result in (first, restored)]
    assert answers[0] == answers[1]

    save_checkpoint("vit", moved, seed=1)
    other = run(image | {"pretrained": str(moved)}, text)
    assert not other.reused
    assert other.record.identity.hash != first.record.identity.hash


def test_a_checkpoint_that_cannot_be_is_refused_before_anything_is_read(
    run, folders, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, says in (("bert", "of a network of type bert"), ("google/vit", "cannot be had")):
        with pytest.raises(MMBenchError, match=says):
            run({"name": "vit", "pretrained": folders.get(name, name)}, "gru")
    assert not (tmp_path / "results").exists()


@pytest.mark.whole
def test_by_name_on_the_hub_a_run_is_trained_and_restored_without_network(
    mini_folder, folders, tmp_path
):
    commit = "f" * 40
    root = tmp_path / "hub" / "hub" / "models--someone--vit"
    shutil.copytree(folders["vit"], root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    command = [
        "run",
        "--task",
        "vqa",
        "--model",
        "gated_fusion",
        "--out",
        str(tmp_path / "results"),
    ]
    command += ["--dataset", str(mini_folder / "mini.yaml")]
    image = "{name: vit, pretrained: someone/vit}"
    for key, value in (SHORT | {"encoders.image": image}).items():
        command += ["--set", f"{key}={value}"]
    offline = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def call(*more):
        return subprocess.run(
            command_line(*command, *more),
            env=environment(mini_folder) | offline,
            capture_output=True,
            text=True,
        )

    done = call("--train")
    assert done.returncode == 0, done.stderr
    (weights,) = (tmp_path / "results").rglob("weights.safetensors")
    record = (weights.parent / "run.json").read_text()
    assert f"begins from someone/vit at revision {commit}" in record
    restored = call("--checkpoint", str(weights))
    assert restored.returncode == 0, restored.stderr
    shutil.rmtree(tmp_path / "hub")
    absent = call("--checkpoint", str(weights), "--force")
    assert absent.returncode == 2
    assert "someone/vit is not in the hub's cache" in absent.stderr
    assert "Traceback" not in absent.stderr
