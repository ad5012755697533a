"""`mmbench check` says what a part does not keep, and `compare` refuses such a part."""

import pytest

import mmbench as package
from mmbench.checks.parts import check_part, failures
from mmbench.errors import MMBenchError

FUSIONS = """
import torch
from torch import nn
from mmbench.zoo.fusion.base import Fused, Fusion, PooledFusion
from mmbench.zoo.fusion.sum import SumFusion
from mmbench.zoo.stream import Stream


class Leaky(SumFusion):
    "Divides by what is there of a context."

    def fuse(self, vectors, present):
        fused = super().fuse(vectors, present).stream
        return Fused(Stream(fused.tokens / present[1].float()[..., None], fused.mask))


class Right(SumFusion):
    "The sum."


class Raises(SumFusion):
    "Fails."

    def fuse(self, vectors, present):
        return Fused(Stream(vectors[0] @ torch.ones(3, 3), present[0]))


class WideOnly(SumFusion):
    "Of a width that three divides."

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        if dim % 3:
            raise ValueError("dim must be a multiple of 3")


class Unmade(SumFusion):
    "Cannot be made."

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.layer = nn.Linear(dim, len(contexts) / 0)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "checked_fusions.py").write_text(FUSIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_what_fails_is_named_with_what_is_due():
    found = {o.name: o.problem for o in check_part("fusion", "checked_fusions:Leaky")}
    assert "image is missing" in found["missing"]
    assert "NaN" in found["missing"]
    assert found["causality"] == ""
    lines = failures("fusion", "checked_fusions:Leaky")
    assert any(line.startswith("missing: ") and "due: A missing context" in line for line in lines)


def test_an_error_inside_a_part_is_told_with_its_line():
    problems = {o.problem for o in check_part("fusion", "checked_fusions:Raises")}
    assert any("checked_fusions.py, line" in text and "in fuse" in text for text in problems)
    (made,) = check_part("fusion", "checked_fusions:Unmade")
    assert made.name == "made"
    assert "ZeroDivisionError" in made.problem


def test_a_fusion_that_needs_another_width_is_given_one():
    assert failures("fusion", "checked_fusions:WideOnly") == []
    with pytest.raises(MMBenchError, match="multiple of 3"):
        check_part("fusion", "checked_fusions:WideOnly", width=8)


def test_the_command_ends_with_the_verdict(mmbench):
    right = mmbench("check", "fusion", "checked_fusions:Right")
    assert right.returncode == 0, right.stderr
    assert "11 of 11 checks hold" in right.stdout
    wrong = mmbench("check", "fusion", "checked_fusions:Leaky")
    assert wrong.returncode == 1
    assert "FAILS  missing" in wrong.stdout
    assert "holds  causality" in wrong.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fusoin", "gated"), "cannot check 'fusoin'. Did you mean fusion"),
        (("fusion", "gatd"), "no fusion called 'gatd'. Did you mean gated"),
        (("fusion", "gated", {"hidden": 3}), "gated has no option 'hidden'"),
        (("metric", "text_to_image_recall_at_1"), "takes no texts.*`examples()`"),
        (("metric", "accuracy", {"k": 3}), "a metric takes no options"),
        (("dataset", "easy_vqa", {"k": 3}), "data_dir alone"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, says):
    with pytest.raises(MMBenchError, match=says.replace("()", r"\(\)")):
        check_part(*arguments)


@pytest.mark.parametrize("name", ["accuracy", "vqa_accuracy", "rouge_l", "cider"])
def test_metrics_of_texts_keep_their_contract(name):
    assert failures("metric", name) == []


def test_compare_refuses_a_part_that_does_not_keep_its_contract(mini, tmp_path):
    from mmbench.experiments.study_setup import prepare
    from mmbench.study import make_study

    (tmp_path / "leaky.yaml").write_text("fusion: checked_fusions:Leaky\n")
    (tmp_path / "right.yaml").write_text("fusion: checked_fusions:Right\n")

    def prepared(model, **options):
        models = ["concat_fusion", str(tmp_path / f"{model}.yaml")]
        return prepare(make_study(task="vqa", models=models, dataset=mini, **options))

    assert not [w for w, _ in prepared("right").facts["vqa/mini"] if w == "unchecked"]
    with pytest.raises(MMBenchError, match="Leaky of leaky does not keep.*allow_unchecked=True"):
        prepared("leaky")
    facts = dict(prepared("leaky", allow_unchecked=True).facts["vqa/mini"])
    assert "missing" in facts["unchecked"]


def test_the_python_call_takes_it_too(mini, tmp_path):
    (tmp_path / "leaky.yaml").write_text("fusion: checked_fusions:Leaky\n")
    with pytest.raises(MMBenchError, match="check fusion checked_fusions:Leaky"):
        package.compare("vqa", ["concat_fusion", str(tmp_path / "leaky.yaml")], dataset=mini)
