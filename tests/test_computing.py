"""Metrics' networks follow the run's device, in exact float32."""

import numpy as np
import pytest
import torch
from torch import nn

import mmbench
from mmbench.computing import (
    computing_device,
    computing_on,
    exact_float32,
    float64_gpu,
    repeatable,
    summed_up,
    usual_batching,
)
from mmbench.errors import MMBenchError
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


def test_replicates_stay_on_the_cpu_but_where_a_gpu_has_float64():
    for name in ("cpu", "mps"):
        with computing_on(name):
            assert float64_gpu() is None
    with computing_on("cuda:1"):
        assert float64_gpu() == torch.device("cuda:1")


def test_a_gpu_gets_larger_batches_of_images_and_threads_that_make_them():
    assert usual_batching(torch.device("cpu")) == (32, 1)
    batch, threads = usual_batching(torch.device("cuda"))
    assert batch > 32
    assert 1 <= threads <= 8


def test_repeatable_takes_deterministic_algorithms_and_puts_torch_back():
    with repeatable(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    with repeatable(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_what_cannot_be_repeated_is_one_line():
    said = (
        "cumsum_cuda_kernel does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this "
        "operation, or you can use the 'warn_only=True' option.\nAnd more"
    )
    with (
        pytest.raises(MMBenchError, match="deterministic=True.*cumsum") as caught,
        repeatable(True),
    ):
        raise RuntimeError(said)
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="shape"), repeatable(True):
        raise RuntimeError("shape mismatch")


def test_cumulative_sums_are_torchs():
    x = torch.rand(3, 9)
    assert torch.equal(summed_up(x), x.cumsum(-1))


def test_a_record_says_that_its_run_is_repeatable_and_has_the_same_bytes(mini, tmp_path):
    options = {"dataset": mini, "device": "cpu", "train": True, "overrides": {"train.epochs": 1}}
    runs = [
        mmbench.run("vqa", "gated_fusion", out=tmp_path / str(i), deterministic=True, **options)
        for i in range(2)
    ]
    assert all(run.record.environment.deterministic for run in runs)
    one, other = [run.path / "weights.safetensors" for run in runs]
    assert one.read_bytes() == other.read_bytes()
