import pytest
import torch
from torch import nn

from mmbench.errors import MMBenchError
from mmbench.training import memory
from mmbench.training.memory import within_memory

CPU = torch.device("cpu")


def built(make, trains=False):
    with within_memory(CPU, trains):
        return make()


def test_parameters_are_counted_before_they_are_filled(monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda _: 10**6)
    assert built(lambda: nn.Linear(400, 400)).weight.shape == (400, 400)
    with pytest.raises(MMBenchError, match="too large for this machine"):
        built(lambda: nn.Linear(600, 600))
    with pytest.raises(MMBenchError, match="times 5 to train"):
        built(lambda: nn.Linear(400, 400), trains=True)
    assert nn.Linear(600, 600).weight.shape == (600, 600)  # it counts only within


@pytest.mark.parametrize(
    "take",
    [
        lambda: torch.empty(10**14),
        lambda: torch.empty(2**62, dtype=torch.float64),
        lambda: nn.Linear(10**7, 10**7),
    ],
)
def test_memory_that_is_not_there_is_one_line(take):
    with pytest.raises(MMBenchError, match="out of memory|too large") as error:
        built(take)
    assert "\n" not in str(error.value)


def test_too_many_tensors_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "_MOST_TENSORS", 10)
    with pytest.raises(MMBenchError, match="more than 10 tensors"):
        built(lambda: [nn.Linear(1, 1) for _ in range(6)])


def test_other_errors_are_bugs():
    with pytest.raises(RuntimeError, match="shape"):
        built(lambda: torch.zeros(2) @ torch.zeros(3, 3))


CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.19 GiB of "
    "which 3.06 GiB is free. Including non-PyTorch memory, this process has 76.12 GiB memory in "
    "use. Of the allocated memory 75.00 GiB is allocated by PyTorch.\nSee documentation"
)


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (torch.OutOfMemoryError(CUDA), "20.00 GiB"),
        (RuntimeError("CUDA error: out of memory\nKernel errors may come later"), ""),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), ""),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), ""),
    ],
)
def test_a_gpu_without_room_is_one_line_that_says_what_to_lower(error, amount):
    with pytest.raises(MMBenchError, match="out of memory") as caught, within_memory(CPU, True):
        raise error
    said = str(caught.value)
    assert "\n" not in said
    assert amount in said
    assert "train.batch" in said
    assert "batch_size=" in said


def test_other_errors_of_a_gpu_are_bugs():
    with pytest.raises(RuntimeError, match="illegal"), within_memory(CPU, trains=False):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
