"""Small models and datasets, those of the training tests; and runs with shipped weights."""

from __future__ import annotations

import pytest

import mmbench
from tests.conftest import ROOT
from tests.training.conftest import quick, scenes_file, small_model  # noqa: F401

WEIGHTS = ROOT / "baselines" / "weights" / "vqa" / "easy_vqa" / "gated_fusion.safetensors"
MODELS = ("gated_fusion", "concat_fusion", "question_only", "image_only")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """By model, a run of shipped weights on the first questions of easy-VQA."""
    out = tmp_path_factory.mktemp("shipped")
    return {m: mmbench.run("vqa", m, limit=150, out=out) for m in MODELS}


@pytest.fixture
def run(mini, tmp_path):
    """A run of shipped weights on a few images, whose folder is the test's own."""
    return mmbench.run("vqa", "gated_fusion", dataset=mini, checkpoint=WEIGHTS, out=tmp_path)


@pytest.fixture
def ask(run, mini):
    """`ask(corruptions=...)`: the robustness of that run."""

    def robustness(of=run, **settings):
        settings = {"corruptions": ["missing"], "checkpoint": WEIGHTS, "dataset": mini} | settings
        return mmbench.robustness(of, **settings)

    return robustness


@pytest.fixture
def small_run(scenes_file, tmp_path):  # noqa: F811
    """`small_run(task, model)`: a run that is trained now, on a few scenes."""

    def run(task: str, model: str = "gated_fusion", **options):
        options = {"train": True, "overrides": quick(task), "out": tmp_path} | options
        return mmbench.run(task, model, dataset=scenes_file, **options)

    return run
