"""Checkpoints on a hub: what is fetched of one, and why there is none."""

import shutil

import pytest

from mmbench.errors import MMBenchError
from mmbench.published_checkpoint import find_checkpoint
from tests.hub_server import COMMIT, hub_of
from tests.tiny_llava import save_llava


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "llava"
    save_llava(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_own.py").write_text("print('run')")
    return folder


def test_of_a_checkpoint_on_the_hub_what_decides_its_answers_is_fetched(
    llava, tmp_path, monkeypatch
):
    with hub_of({"someone/llava": llava}, monkeypatch, tmp_path) as fetched:
        also = ("chat_template.jinja",)
        found = find_checkpoint("someone/llava", None, also=also)
        assert found.revision == COMMIT
        assert found.sha256 == find_checkpoint(str(llava), also=also).sha256
        assert {"model.safetensors", "config.json", "chat_template.jinja"} <= fetched
        assert not {name for name in fetched if name.endswith((".bin", ".py"))}


def test_of_a_pipeline_on_the_hub_its_parts_are_fetched(tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    from tests.tiny_pipeline import save_pipeline

    folder = tmp_path / "pipeline"
    save_pipeline(folder)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"in half")
    (folder / "whole.safetensors").write_bytes(b"the same in one file")
    shutil.copytree(folder / "vae", folder / "another")
    with hub_of({"someone/draws": folder}, monkeypatch, tmp_path / "cache") as fetched:
        found = find_checkpoint("someone/draws", "main")
        assert (found.pipeline, found.revision) == (True, COMMIT)
        assert found.sha256 == find_checkpoint(str(folder)).sha256
        names = {"model_index.json", "unet/diffusion_pytorch_model.safetensors"}
        assert names <= fetched
        assert not {n for n in fetched if n.startswith(("another", "whole"))}
        assert not {n for n in fetched if n.endswith((".bin", "fp16.safetensors"))}


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("someone/other", None, "no such repository, or it is private"),
        ("someone/private", None, "no such repository, or it is private"),
        ("someone/gated", None, "ask for access"),
        ("someone/llava", "v9", "at revision v9 .* no such revision"),
    ],
)
def test_why_the_hub_gives_nothing_is_told(name, revision, says, llava, tmp_path, monkeypatch):
    with (
        hub_of({"someone/llava": llava}, monkeypatch, tmp_path),
        pytest.raises(MMBenchError, match=says) as error,
    ):
        find_checkpoint(name, revision)
    assert "\n" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)
