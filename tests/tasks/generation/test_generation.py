"""Generation, end to end on a few scenes with a tiny decoder."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import mmbench
from mmbench.data.cache import cache_folder
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.watch import Watch
from mmbench.recipe import load_recipe
from mmbench_tasks.generation.task import Generation
from tests.data.layouts import coco_30k

TINY = {
    "width": 16,
    "train.epochs": 2,
    "train.batch": 16,
    "decoder": {
        "name": "image_tokens",
        "layers": 1,
        "autoencoder": {"width": 16, "latent": 8, "codebook": 32, "epochs": 1, "batch": 16},
    },
}


def tiny(decoder="image_tokens", **options):
    return TINY | {"decoder": TINY["decoder"] | {"name": decoder} | options}


def run(few, out, model="gated_fusion", **options):
    options = {"train": True, "overrides": TINY} | options
    return mmbench.run("generation", model, dataset=few, out=out, **options)


@pytest.fixture(scope="module", autouse=True)
def _parts_of_its_own(tmp_path_factory):
    """A cache in which nobody else trains parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(few, tmp_path_factory):
    """A run, the file of the autoencoder that it trained, and what is in that."""
    for other in (cache_folder() / "parts").glob("*"):
        other.unlink()
    result = run(few, tmp_path_factory.mktemp("trained"))
    (path,) = (cache_folder() / "parts").iterdir()
    return result, path, path.read_bytes()


@pytest.fixture(scope="module")
def trained(made):
    return made[0]


@pytest.fixture
def part(made):
    """The file of the autoencoder that `trained` shares with whatever runs in this cache."""
    _, path, content = made
    path.write_bytes(content)
    return path


def pictures(result):
    return [np.asarray(Image.open(io.BytesIO(p))) for p in result.predictions()["prediction"]]


def test_a_run_leaves_its_pictures_its_claims_and_a_page_of_samples(trained):
    record = trained.record
    drawn = pictures(trained)
    assert {picture.shape for picture in drawn} == {(32, 32, 3)}
    assert len({picture.tobytes() for picture in drawn}) == record.samples == 24
    claims = [json.loads(target) for target in trained.predictions()["target"]]
    assert all(claim["objects"] for claim in claims)
    page = Image.open(trained.path / "samples.png")
    assert page.size[0] > 1000
    assert set(record.files) == {
        "predictions.parquet",
        "statistics.npz",
        "weights.safetensors",
        "log.jsonl",
        "samples.png",
    }
    by_name = {entry.name: entry for entry in record.metrics}
    assert by_name["faithfulness"].ceiling > 0.99
    assert 0 <= by_name["faithfulness"].value < by_name["faithfulness"].ceiling
    assert by_name["fd_scenes"].value > 1


def test_the_stages_are_logged_in_order(trained):
    lines = (trained.path / "log.jsonl").read_text().splitlines()
    stages = [json.loads(line)["stage"] for line in lines]
    assert stages == ["autoencoder", "task", "task"]


def test_a_checkpoint_draws_what_its_run_drew(trained, few, tmp_path):
    again = run(
        few, tmp_path, train=False, checkpoint=trained.path / "weights.safetensors", batch_size=5
    )
    for one, other in zip(pictures(trained), pictures(again), strict=True):
        assert np.array_equal(one, other)
    assert again.value == trained.value


def test_the_autoencoder_is_trained_once_for_all_fusions_and_seeds(trained, few, tmp_path):
    parts = sorted((cache_folder() / "parts").iterdir())
    started = []

    class Note(Watch):
        def began(self, model, seed):
            started.append((model, seed))

    other = run(few, tmp_path, "concat_fusion", seed=1, watch=Note())
    assert started == [("concat_fusion", 1), ("concat_fusion task", 1)]
    assert sorted((cache_folder() / "parts").iterdir()) == parts

    def autoencoder(result):
        checkpoint = mmbench.checkpoint.read_checkpoint(result.path / "weights.safetensors")
        return {k: v for k, v in checkpoint.tensors.items() if "autoencoder" in k}

    one, two = autoencoder(trained), autoencoder(other)
    assert one
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert other.record.training.seconds > sum(
        json.loads(line)["train_seconds"]
        for line in (other.path / "log.jsonl").read_text().splitlines()
    )


def test_a_training_cut_off_in_its_second_stage_ends_as_it_would_have(trained, few, tmp_path):
    class Cut(Watch):
        def finished_epoch(self, entry):
            if self.stage == "task" and entry["epoch"] == 1:
                raise KeyboardInterrupt

        def began(self, model, seed):
            self.stage = model.rpartition(" ")[2]

    with pytest.raises(Interrupted, match="training is kept"):
        run(few, tmp_path, watch=Cut())
    resumed = run(few, tmp_path, resume=True)
    for one, other in zip(pictures(trained), pictures(resumed), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        *(
            pytest.param(how, marks=pytest.mark.whole)
            for how in ("zeros", "empty", "a folder", "another log")
        ),
    ],
)
def test_a_damaged_part_in_the_cache_is_trained_anew_with_one_line(
    trained, few, tmp_path, part, caplog, how
):
    content = part.read_bytes()
    part.unlink()
    if how == "a folder":
        part.mkdir()
    else:
        half = len(content) // 2
        changed = content.replace(b'\\"best_epoch\\": 1', b'\\"best_epoch\\": 7')
        damaged = {"truncated": content[:half], "zeros": content[:half].ljust(len(content), b"\0")}
        part.write_bytes((damaged | {"empty": b"", "another log": changed})[how])
        assert part.read_bytes() != content
    again = run(few, tmp_path)
    [line] = caplog.messages
    assert str(part) in line
    assert "made anew" in line
    for one, other in zip(pictures(trained), pictures(again), strict=True):
        assert np.array_equal(one, other)
    assert part.stat().st_size == pytest.approx(len(content), rel=0.01)


def test_the_flow_draws_pictures_too(few, tmp_path):
    result = run(few, tmp_path, overrides=tiny("flow", sampling={"steps": 4}))
    assert len({picture.tobytes() for picture in pictures(result)}) == 24


def test_pictures_of_64_pixels_by_recipe_are_judged_beside_real_ones_of_that_size(few, tmp_path):
    result = run(few, tmp_path, overrides=tiny(size=64) | {"train.epochs": 1})
    assert {picture.shape for picture in pictures(result)} == {(64, 64, 3)}
    assert result.record.fingerprint != run(few, tmp_path).record.fingerprint


def test_a_model_without_a_text_is_the_floor(few, tmp_path):
    recipe = tmp_path / "unprompted.yaml"
    recipe.write_text("encoders: {text: null}\n")
    result = run(few, tmp_path, str(recipe))
    assert result.record.parameters.keys() == {"decoder"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fusion": None}, "needs a fusion and an encoder for text"),
        ({"decoder": {"name": "image_tokens", "size": 48}}, "size"),
        ({"decoder": {"name": "image_tokens", "size": "big"}}, "decoder.size must be a number"),
        (
            {"decoder": {"name": "image_tokens", "sampling": {"temprature": 1}}},
            "decoder.sampling.*temprature",
        ),
        (
            {"decoder": {"name": "image_tokens", "autoencoder": {"grid": 0}}},
            "decoder.autoencoder.*grid",
        ),
        ({"decoder": "classifier"}, "cannot stand here: nothing gives it classes"),
    ],
)
def test_what_does_not_fit_is_named(few, tmp_path, change, says):
    with pytest.raises(MMBenchError, match=says):
        run(few, tmp_path, overrides=change)


def test_the_prompt_is_one_of_the_captions_and_its_claims_are_its_own(few):
    task = Generation()
    spec = task.dataset(few)
    recipe = task.resolve(load_recipe("gated_fusion"), spec)
    samples = task.load(task.adapt(spec, recipe), "test")
    chosen = [s.target["captions"].index(s.inputs["text"]) for s in samples]
    assert len(set(chosen)) == 5
    for sample in samples:
        for mention in sample.target["claims"]["objects"]:
            if "colour" in mention:
                assert mention["colour"] in sample.inputs["text"]


def test_it_trains_and_draws_on_coco_30k_in_its_official_layout(tmp_path):
    folder = tmp_path / "coco"
    coco_30k(folder)
    result = run("coco_30k", tmp_path / "out", data_dir=folder, overrides=TINY)
    assert {picture.shape for picture in pictures(result)} == {(32, 32, 3)}
    by_name = {entry.name: entry for entry in result.record.metrics}
    assert by_name["fd_efficientnet_lite0"].value > 0
    assert any("fewer" in note or "images" in note for note in result.record.notes)
    assert result.predictions()["target"].isna().all()  # nobody knows what COCO's prompts claim
