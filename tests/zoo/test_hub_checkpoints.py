"""Checkpoints of transformers by a name on the hub, and in shards."""

import shutil

import pytest
import torch

from mmbench import published_checkpoint
from mmbench.errors import MMBenchError
from tests.tiny_checkpoints import with_head
from tests.zoo.checkpoint_inputs import values_of


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
