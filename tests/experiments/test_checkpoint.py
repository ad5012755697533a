import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import mmbench
from mmbench.checkpoint import Checkpoint, read_checkpoint, shipped_weights
from mmbench.errors import MMBenchError

SHIPPED = shipped_weights("vqa", "easy_vqa", "gated_fusion")


def run_with(checkpoint: Path, out: Path, **options):
    return mmbench.run("vqa", "gated_fusion", checkpoint=checkpoint, limit=9, out=out, **options)


def test_shipped_weights_are_small_and_in_half_precision():
    for path in SHIPPED.parent.glob("*.safetensors"):
        assert path.stat().st_size < 1e6
        kinds = {t.dtype for t in read_checkpoint(path).tensors.values() if t.is_floating_point()}
        assert kinds == {torch.float16}


def test_a_checkpoint_of_another_shape_names_the_tensors(tmp_path):
    with pytest.raises(MMBenchError) as error:
        run_with(SHIPPED, tmp_path, overrides={"width": 64})
    says = str(error.value)
    assert "does not fit the recipe: encoders.text" in says
    assert "where the model has" in says
    assert "more." in says


def test_a_checkpoint_of_another_fusion_names_the_tensors(tmp_path):
    concat = shipped_weights("vqa", "easy_vqa", "concat_fusion")
    with pytest.raises(MMBenchError, match=r"fusion\.\S+ is missing"):
        run_with(concat, tmp_path)


@pytest.mark.parametrize("size", [0, 5, 1000, 900_000])
def test_a_truncated_file_is_named(tmp_path, size):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:size])
    with pytest.raises(MMBenchError, match="cut.safetensors is corrupt or truncated"):
        run_with(path, tmp_path)


def test_a_pickle_is_not_read(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(MMBenchError, match="corrupt or truncated"):
        run_with(path, tmp_path)


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(MMBenchError, match="not a checkpoint of mmbench"):
        run_with(path, tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MMBenchError, match=r"none.safetensors cannot be read: No such file"):
        run_with(tmp_path / "none.safetensors", tmp_path)


def test_shipped_weights_are_of_one_seed(tmp_path):
    with pytest.raises(MMBenchError, match="are of seed 0. Train seed 3 with train=True"):
        mmbench.run("vqa", "gated_fusion", seed=3, out=tmp_path)


def test_a_dataset_without_shipped_weights_says_how_to_get_them(mini, tmp_path):
    with pytest.raises(
        MMBenchError, match="no trained weights for vqa/mini. Train them with train"
    ):
        mmbench.run("vqa", "gated_fusion", dataset=mini, out=tmp_path)


def test_other_training_settings_do_not_pass_for_the_shipped_weights(tmp_path):
    with pytest.raises(MMBenchError, match="trained with other settings"):
        mmbench.run("vqa", "gated_fusion", overrides={"train.epochs": 3}, out=tmp_path)


def test_weights_older_than_a_setting_of_training_had_its_default(tmp_path, monkeypatch):
    shipped = read_checkpoint(SHIPPED)
    train = {k: v for k, v in shipped.recipe["train"].items() if not k.startswith("neighbours")}
    older = tmp_path / "older.safetensors"
    recipe = shipped.recipe | {"train": train}
    older.write_bytes(dataclasses.replace(shipped, recipe=recipe).half().to_bytes())
    monkeypatch.setattr("mmbench.experiments.plan.shipped_weights", lambda *_: older)
    run = mmbench.run("vqa", "gated_fusion", limit=9, out=tmp_path / "out")
    assert run.record.weights.source == "shipped"
    with pytest.raises(MMBenchError, match=r"other settings \(train.neighbours=1\)"):
        mmbench.run("vqa", "gated_fusion", overrides={"train.neighbours": 4}, out=tmp_path / "out")


def test_weights_in_bytes_take_half_of_float16_and_are_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "a.weight": torch.randn(64, 32, 3, 3) * torch.logspace(-4, 1, 64).view(-1, 1, 1, 1),
        "a.bias": torch.randn(64),
        "zeros": torch.zeros(3, 5),
        "started": torch.tensor(True),
    }
    checkpoint = Checkpoint(tensors, {}, {}, {"task": "vqa"})
    path = tmp_path / "weights.safetensors"
    path.write_bytes(checkpoint.in_bytes().to_bytes())
    assert path.stat().st_size < 0.6 * len(checkpoint.half().to_bytes())
    read = read_checkpoint(path)
    assert read.tensors.keys() == tensors.keys()
    assert read.about == {"task": "vqa"}
    rows = tensors["a.weight"].flatten(1)
    error = (read.tensors["a.weight"].flatten(1) - rows).abs().amax(1)
    assert (error <= rows.abs().amax(1) / 127 / 2 * 1.001).all()
    assert torch.equal(read.tensors["zeros"], tensors["zeros"])
    assert torch.equal(read.tensors["started"], tensors["started"])
