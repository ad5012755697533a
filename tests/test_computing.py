"""Metrics' networks follow the run's device, in exact float32."""

import numpy as np
import pytest
import torch
from torch import nn

import mmbench
from mmbench.computing import computing_device, computing_on, exact_float32
from mmbench.metrics.accuracy import Accuracy
from mmbench.metrics.images.clip import Clip
from mmbench.metrics.images.features import Extractor, extract_features
from tests.tiny_clip import save_clip


@pytest.fixture
def cuda_is_here(monkeypatch):
    """What a machine with a GPU says; nothing can be computed on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def uses_tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


class Witness(nn.Module):
    """Says where it was run, and how exactly."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, x):
        self.seen.append((x.device.type, self.weight.device.type, *uses_tf32()))
        return x.flatten(1)[:, :2]


class WitnessFeatures(Extractor):
    name, width, published, preprocessing = "witness", 2, "0" * 8, "none"

    def __init__(self):
        self.module = Witness()

    def prepare(self, image):
        return torch.from_numpy(image).permute(2, 0, 1).float()

    def network(self):
        return self.module


def images():
    return np.zeros((3, 4, 4, 3), np.uint8)


def test_features_are_computed_on_the_device_that_is_named(cuda_is_here):
    chosen = WitnessFeatures()
    with computing_on("cpu"):
        assert extract_features(images(), chosen).shape == (3, 2)
    assert chosen.module.seen == [("cpu", "cpu", False, False)]


def test_features_go_to_the_gpu_where_no_device_is_named(cuda_is_here):
    assert computing_device().type == "cuda"


def test_clip_is_computed_on_the_device_that_is_named(cuda_is_here, tmp_path):
    model = Clip(save_clip(tmp_path))
    with computing_on("cpu"):
        assert model.images(images()).shape == (3, 16)
        assert model.captions(["a", "b"]).shape == (2, 16)


def test_float32_is_exact_within_and_as_it_was_afterwards():
    before = uses_tf32()
    assert before[0]  # torch's default
    with exact_float32():
        assert uses_tf32() == (False, False)
    assert uses_tf32() == before


def test_float32_is_exact_where_tf32_was_chosen_by_torchs_newer_name():
    products = torch.backends.cuda.matmul
    if not hasattr(products, "fp32_precision"):
        pytest.skip("this torch has one name only")
    products.fp32_precision = "tf32"
    try:
        with exact_float32():
            assert products.fp32_precision != "tf32"
        assert products.fp32_precision == "tf32"
    finally:
        products.allow_tf32 = False


def test_a_run_scores_on_its_own_device(cuda_is_here, monkeypatch, mini, tmp_path):
    seen = []
    plain = Accuracy.statistics

    def witness(self, predictions, targets):
        seen.append((computing_device().type, *uses_tf32()))
        return plain(self, predictions, targets)

    monkeypatch.setattr(Accuracy, "statistics", witness)
    mmbench.run("vqa", "majority", dataset=mini, device="cpu", train=True, out=tmp_path)
    assert set(seen) == {("cpu", False, False)}
