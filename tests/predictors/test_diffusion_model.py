"""Pipelines of diffusers as models of generation: each image from a seed of its own."""

import json
import shutil

import numpy as np
import pytest
import torch

import mmbench
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.experiments.repeats import repeat
from mmbench.predictors.huggingface import HuggingFace
from mmbench.published_checkpoint import find_checkpoint
from mmbench.request import RunRequest
from tests.tiny_clip import save_clip
from tests.tiny_pipeline import save_pipeline

pytest.importorskip("diffusers")
QUERIES = [Query(f"q{n}", {"text": f"a {word} circle"}) for n, word in enumerate(["red", "blue"])]
QUERIES += [Query("q2", {"text": "a star above a large cross"})]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("models") / "pipeline")


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copied")


def drawn(folder, queries=QUERIES, **options):
    options = {"steps": 2} | options
    predictor = HuggingFace(str(folder), "images", "cpu", **options)
    return np.stack([answer.value for answer in predictor.predict(queries)]).astype(int)


def test_it_draws_what_diffusers_draws_from_the_same_noise(folder):
    from diffusers import StableDiffusionPipeline

    from mmbench.data.sample import stable_number

    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    seed = torch.Generator().manual_seed(stable_number("0/q1"))
    text = QUERIES[1].inputs["text"]
    asked = {"num_inference_steps": 3, "guidance_scale": 2.0, "output_type": "np"}
    wanted = pipeline(text, generator=seed, height=16, width=16, **asked).images[0]
    found = drawn(folder, steps=3, guidance=2.0, size=16)[1]
    assert found.shape == (16, 16, 3)
    assert np.abs(found - wanted * 255).max() < 1


def test_an_image_depends_on_no_other_of_its_batch(folder):
    together = drawn(folder)
    assert together.shape == (3, 32, 32, 3)
    alone = drawn(folder, QUERIES[::-1], batch=1)[::-1]
    assert np.abs(alone - together).max() <= 1  # of 255: in the last bits of what is rounded
    assert np.abs(together[0] - together[1]).max() > 9


@pytest.mark.parametrize(
    "option",
    [{"steps": 3}, {"guidance": 1.5}, {"dtype": "bfloat16"}, {"draw": 1}, {"prompt": "no {text}"}],
)
def test_each_option_decides_what_is_drawn(option, folder):
    assert (drawn(folder, QUERIES[:1]) != drawn(folder, QUERIES[:1], **option)).any()


def test_a_size_that_it_cannot_draw_is_told(folder):
    with pytest.raises(MMBenchError, match="does not draw so: .*divisible by 8"):
        drawn(folder, size=36)


def test_a_pipeline_is_a_run_with_its_settings_in_the_record(folder, tmp_path):
    asked = {"limit": 3, "out": tmp_path, "overrides": {"steps": 2, "size": 32}}
    result = mmbench.run("generation", f"hf:{folder}", **asked)
    record = result.record
    assert record.recipe["predictor"]["options"] == {"pretrained": folder, "steps": 2, "size": 32}
    assert {key.partition(".")[0] for key in record.parameters} == {"unet", "vae", "text_encoder"}
    assert mmbench.run("generation", f"hf:{folder}", **asked).reused
    other = asked | {"overrides": {"steps": 3, "size": 32}}
    assert mmbench.run("generation", f"hf:{folder}", **other).record.hash != record.hash


def test_draws_of_images_differ_and_answers_of_other_models_do_not(folder, tmp_path):
    asked = {"out": tmp_path / "out", "limit": 3, "overrides": {"steps": 1, "size": 32}}
    found = repeat(RunRequest(task="generation", model=f"hf:{folder}", **asked), 2)
    images = [run.predictions()["prediction"][0] for run in found.runs]
    assert images[0] != images[1]
    (tmp_path / "clip").mkdir()
    clip = save_clip(tmp_path / "clip")
    request = RunRequest(task="retrieval", model=f"hf:{clip}", out=tmp_path / "out", limit=2)
    with pytest.raises(MMBenchError, match="none that draws its embeddings"):
        repeat(request, 2)


def test_what_it_is_decides_its_identity(folder, copied):
    before = find_checkpoint(folder)
    assert find_checkpoint(str(copied)).sha256 == before.sha256
    scheduler = copied / "scheduler" / "scheduler_config.json"
    settings = json.loads(scheduler.read_text())
    scheduler.write_text(json.dumps(settings | {"beta_end": 0.02}))
    assert find_checkpoint(str(copied)).sha256 != before.sha256
    scheduler.write_text(json.dumps(settings, indent=2) + "\n")
    (copied / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"unread")
    shutil.copytree(copied / "vae", copied / "another")
    assert find_checkpoint(str(copied)).sha256 == before.sha256


def only_pickles(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "x.bin")


def no_part(folder):
    shutil.rmtree(folder / "vae")


def code(folder):
    (folder / "unet" / "mine.py").write_text("print('run')")


def own_class(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = ["pipeline", "Mine"]
    (folder / "model_index.json").write_text(json.dumps(index))


def other_class(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "NoSuchPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))


def untexted(folder):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    shutil.rmtree(folder)
    unet = UNet2DModel(
        8,
        block_out_channels=(8,),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (only_pickles, r"weights as x\.bin alone; mmbench reads safetensors"),
        (no_part, "lacks vae, which its model_index.json names"),
        (code, r"wants to run code of its own \(unet/mine\.py\)"),
        (own_class, r"wants to run code of its own \(_class_name"),
        (other_class, "its pipeline cannot be loaded: .*NoSuchPipeline"),
        (untexted, "a DDPMPipeline, takes no text"),
    ],
)
def test_a_pipeline_that_cannot_be_asked_is_refused(spoil, says, copied, tmp_path):
    spoil(copied)
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.run("generation", f"hf:{copied}", limit=2, out=tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("vqa", {}, "type StableDiffusionPipeline.*does not load as a model that writes text"),
        ("retrieval", {}, "type StableDiffusionPipeline.*not load as a model that embeds"),
        ("generation", {"frames": 3}, "frames decides nothing where answers are images"),
        ("generation", {"steps": 0}, "steps must be at least 1"),
        ("generation", {"step": 3}, "no option 'step'.*Did you mean steps"),
        ("generation", {"prompt": "a star"}, "has no {text}"),
    ],
)
def test_a_pipeline_asked_otherwise_than_it_can_be_is_told(task, options, says, folder, tmp_path):
    with pytest.raises(MMBenchError, match=says):
        mmbench.run(task, f"hf:{folder}", overrides=options, limit=2, out=tmp_path)
