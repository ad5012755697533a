"""A loss that became NaN is laid at the door of the part that made it, or of the learning rate."""

import pytest

import mmbench
from mmbench.errors import MMBenchError
from tests.training.conftest import QUICK

FUSIONS = """
import torch
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.fusion.concat import ConcatFusion
from mmbench.zoo.stream import Stream


class LogOfAll(ConcatFusion):
    "Takes the logarithm of what may be negative, but for zeros as it is tried out with."

    def fuse(self, vectors, present):
        fused = super().fuse(vectors, present)
        return Fused(Stream(fused.stream.tokens - (-vectors[0].abs()).log(), fused.stream.mask))


class RootOfZero(ConcatFusion):
    "Has a value, and an infinite slope."

    def fuse(self, vectors, present):
        fused = super().fuse(vectors, present).stream
        return Fused(Stream(fused.tokens + (fused.tokens * 0).sqrt(), fused.mask))
"""
ENCODER = """
import torch
from mmbench.zoo.encoders.conv import Conv
from mmbench.zoo.stream import Stream


class Divides(Conv):
    "Divides by zero."

    def forward(self, x, mask=None):
        stream = super().forward(x, mask)
        return Stream(stream.tokens / (stream.tokens * 0), stream.mask)
"""


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"fusion": "nan_fusions:LogOfAll"}, "the fusion LogOfAll gives .* NaN .* batch 1"),
        ({"fusion": "nan_fusions:RootOfZero"}, "the fusion RootOfZero has a gradient of"),
        (
            {"encoders.image": {"name": "nan_encoder:Divides", "channels": [8]}},
            "the encoder Divides of image gives",
        ),
        ({"train.lr": 1e30}, "Lower the learning rate"),
    ],
)
def test_a_loss_that_became_nan_names_what_made_it(
    scenes_file, tmp_path, monkeypatch, overrides, says
):
    (tmp_path / "nan_fusions.py").write_text(FUSIONS)
    (tmp_path / "nan_encoder.py").write_text(ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    quick = {key: v for key, v in QUICK.items() if not key.startswith("encoders.image")}
    settings = (quick if "encoders.image" in overrides else QUICK) | overrides
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.run(
            "vqa",
            "concat_fusion",
            dataset=scenes_file,
            out=tmp_path,
            train=True,
            overrides=settings,
        )
    assert "\n" not in str(error.value)
    assert ("learning rate" in str(error.value)) == ("train.lr" in overrides)
