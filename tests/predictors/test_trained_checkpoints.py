"""Small checkpoints that were really trained, by transformers' own classes: true scores of `hf:`.

`tests/fixtures/train_llava.py` and `train_clip.py` made them.
"""

import pytest
from safetensors import safe_open

import mmbench
from tests.conftest import ROOT

LLAVA = ROOT / "tests" / "fixtures" / "llava_easy_vqa"
CLIP = ROOT / "tests" / "fixtures" / "clip_scenes"


def scores(task, folder, tmp_path, **options):
    # float32, which a CPU computes in faster than in their own float16
    asked = {"out": tmp_path, "overrides": {"dtype": "float32"}} | options
    record = mmbench.run(task, f"hf:{folder}", **asked).record
    return {e.name: e.value for e in record.metrics if e.category is None}


@pytest.mark.parametrize("folder", [LLAVA, CLIP], ids=lambda folder: folder.name)
def test_a_trained_checkpoint_is_small_and_in_half_precision(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3 * 2**20
    with safe_open(folder / "model.safetensors", "pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118
    assert sum(tensor.numel() for tensor in tensors) < 1_000_000
    assert {str(tensor.dtype) for tensor in tensors if tensor.is_floating_point()} == {
        "torch.float16"
    }


def test_the_small_llava_answers_questions(tmp_path):
    found = scores("vqa", LLAVA, tmp_path, limit=400)
    assert found["accuracy"] == pytest.approx(0.8675, abs=0.005)


def test_the_small_clip_finds_pictures_and_captions(tmp_path):
    found = scores("retrieval", CLIP, tmp_path, limit=100)
    assert found["text_to_image_recall_at_1"] == pytest.approx(0.96, abs=0.01)


@pytest.mark.whole
def test_the_small_llava_on_all_of_easy_vqa(tmp_path):
    assert scores("vqa", LLAVA, tmp_path)["accuracy"] == pytest.approx(0.8694, abs=0.001)


@pytest.mark.whole
def test_the_small_clip_on_a_thousand_pictures(tmp_path):
    found = scores("retrieval", CLIP, tmp_path)
    assert found["text_to_image_recall_at_1"] == pytest.approx(0.6774, abs=0.002)
    assert found["image_to_text_recall_at_1"] == pytest.approx(0.697, abs=0.002)
