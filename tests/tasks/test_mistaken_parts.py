"""Mistakes in parts of another package are one line that names the part, wherever they show."""

import sys

import pytest

import mmbench
from mmbench.checks.parts import check_part
from mmbench.errors import MMBenchError
from mmbench.parts import build_classifier
from mmbench.recipe import Part
from mmbench.request import run_request

PARTS = """
import torch
from torch import nn
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.fusion.sum import SumFusion
from mmbench.zoo.stream import Stream


class Bytes(Encoder):
    "Convolves pixels without making them numbers."

    modality = "image"

    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.conv = nn.Conv2d(3, dim, 8, stride=8)

    def forward(self, x, mask=None):
        return Stream.whole(self.conv(x).flatten(2).transpose(1, 2))


class SaysNothing(Encoder):
    "Does not say what it reads."

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x, mask=None):
        return Stream.whole(x)


class OneTooMany(nn.Module):
    "A class too many."

    def __init__(self, dim, classes):
        super().__init__()
        self.layer = nn.Linear(dim, classes + 1)

    def forward(self, stream):
        return self.layer(stream.pool())


class EachToken(OneTooMany):
    "Logits of each token."

    def forward(self, stream):
        return self.layer(stream.tokens)


class Raises(OneTooMany):
    "Takes a tensor."

    def forward(self, stream):
        return self.layer(stream)


class OfOne(SumFusion):
    "Fails where there are several samples."

    def fuse(self, vectors, present):
        if len(vectors[0]) > 1:
            vectors = [vectors[0] @ torch.ones(3, 3)]
        return Fused(Stream(sum(vectors), present[0]))


class NoFusion(nn.Linear):
    "No fusion."


def made(dim, contexts):
    return SumFusion(dim, contexts)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "mistaken.py").write_text(PARTS)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mistaken", None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoders.image": "mistaken:Bytes"}, ("encoder Bytes fails", "mistaken.py, line")),
        ({"encoders.image": "mistaken:SaysNothing"}, ("encoder mistaken:SaysNothing", "modality")),
        ({"decoder": "mistaken:EachToken"}, ("decoder EachToken gave a Tensor", "check decoder")),
        ({"fusion": "mistaken:OfOne"}, ("fusion OfOne fails", "in fuse")),
        ({"fusion": "mistaken:made"}, ("mistaken:made is a function", "must be a class")),
    ],
)
def test_a_run_with_a_mistaken_part_ends_in_one_line_that_names_it(mini, changes, says):
    changes = {"width": 8, "train.epochs": 1} | changes
    with pytest.raises(MMBenchError) as error:
        mmbench.run("vqa", "concat_fusion", dataset=mini, train=True, overrides=changes)
    assert all(words in str(error.value) for words in says), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mistaken:OneTooMany", r"gave a Tensor \(1, 6\) where a Tensor of logits \(1, 5\)"),
        ("mistaken:Raises", r"decoder Raises fails on a Stream \(1, 1, 8\).*in forward"),
    ],
)
def test_a_decoder_of_classes_is_tried_before_it_is_trained(name, says):
    with pytest.raises(MMBenchError, match=says):
        build_classifier(Part(name=name), width=8, classes=5)


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("fusion", "mistaken:made", "is a function"),
        ("fusion", "mistaken:NoFusion", "not a subclass of mmbench.zoo.fusion.base.Fusion"),
        ("encoder", "mistaken:SaysNothing", "needs a `modality`"),
    ],
)
def test_check_refuses_what_is_no_part_as_a_run_does(kind, name, says):
    with pytest.raises(MMBenchError, match=says):
        check_part(kind, name)


@pytest.mark.parametrize(
    ("model", "changes", "says"),
    [
        ("mistaken.py", {}, "mistaken:ITS_CLASS"),
        ("concat_fusion", {"fusion": "mistaken.py:OfOne"}, "mistaken:OfOne"),
    ],
)
def test_a_file_in_place_of_a_module_is_told_how_its_classes_are_named(model, changes, says):
    with pytest.raises(MMBenchError, match=says):
        mmbench.run("vqa", model, train=True, overrides=changes)


def test_a_recipe_with_a_part_that_is_not_there_says_that_and_not_that_it_has_no_source(mini):
    from mmbench.experiments.plan import make_plan

    request = run_request(
        task="vqa", model="concat_fusion", dataset=mini, train=True, overrides={"fusion": "gone:A"}
    )
    with pytest.raises(MMBenchError, match="there is no module 'gone'"):
        make_plan(request)


@pytest.mark.parametrize("name", ["table.csv", "folder"])
def test_a_table_or_folder_in_place_of_a_dataset_is_told_what_describes_it(tmp_path, name):
    (tmp_path / "table.csv").write_text("question,answer\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MMBenchError, match="described by a YAML file.*mmbench new dataset"):
        mmbench.run("vqa", "concat_fusion", dataset=name)
