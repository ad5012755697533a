"""A checkpoint spread over the devices that are there, by accelerate."""

import pytest

import mmbench
from mmbench.errors import MMBenchError
from tests.tiny_llava import save_llava

pytest.importorskip("accelerate")


def test_a_model_that_is_spread_over_devices_gives_the_same_answers(tmp_path):
    from mmbench.predictors.huggingface import HuggingFace

    llava = save_llava(tmp_path / "llava")
    asked = {"limit": 6, "out": tmp_path / "out", "device": "cpu"}
    found = [
        mmbench.run("vqa", f"hf:{llava}", overrides={"max_new_tokens": 4} | spread, **asked)
        for spread in ({}, {"device_map": "auto"})
    ]
    plain, spread = (list(run.predictions()["written"]) for run in found)
    assert spread == plain
    with pytest.raises(MMBenchError, match="nowhere"):
        HuggingFace(llava, "text", "cpu", device_map="nowhere")
