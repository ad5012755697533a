"""Metrics of other libraries by name, and mmbench's own as an `evaluate` module."""

import re
from pathlib import Path

import evaluate
import pytest

import mmbench
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.score import load_metrics, score_answers

OWN = Path(mmbench.__file__).parent / "metrics" / "evaluate_module.py"
LOCAL = """
import datasets
import evaluate

class SameLength(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions, references):
        same = [len(p) == len(r) for p, r in zip(predictions, references)]
        return {"share": sum(same) / len(same), "count": sum(same)}
"""


@pytest.fixture
def local_metric(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    path = tmp_path / "same_length.py"
    path.write_text(LOCAL)
    return path


def value(name, predictions, targets):
    (metric,) = load_metrics([name])
    return metric.aggregate(metric.statistics(predictions, targets))


def test_an_evaluate_metric_is_taken_from_a_local_path(local_metric):
    assert value(f"evaluate:{local_metric}#share", ["ab", "c"], ["xy", "zz"]) == 0.5
    assert value(f"evaluate:{local_metric}#count", ["ab", "c"], ["xy", "zz"]) == 1
    with pytest.raises(MMBenchError, match=r"gives share, count: choose with .*#share"):
        value(f"evaluate:{local_metric}", ["ab"], ["xy"])


def test_code_from_the_hub_runs_only_when_asked_for(monkeypatch):
    with pytest.raises(MMBenchError, match="give allow_hub_code=True to download and run it"):
        load_metrics(["evaluate:rouge"])
    asked = []
    monkeypatch.setattr(evaluate, "load", asked.append)
    load_metrics(["evaluate:rouge"], allow_hub_code=True)
    assert asked == ["rouge"]


def test_a_torchmetrics_class_is_used_by_name():
    from torchmetrics.text import WordErrorRate

    predictions, targets = ["a dog runs", "two cats"], ["a dog ran", "two black cats"]
    expected = WordErrorRate()(predictions, targets).item()
    assert value("torchmetrics:text.WordErrorRate", predictions, targets) == expected
    assert value("torchmetrics:MeanSquaredError", [1.0, 2.0], [1.0, 4.0]) == 2
    with pytest.raises(MMBenchError, match=r"cannot take Nothing from torchmetrics\.text"):
        load_metrics(["torchmetrics:text.Nothing"])


def test_own_metrics_load_as_an_evaluate_module(tmp_path, monkeypatch):
    import evaluate

    module = evaluate.load(str(OWN), "cider", cache_dir=str(tmp_path))
    predictions, references = ["a dog", "two cats"], [["a dog runs"], ["two cats", "cats"]]
    (own,) = load_metrics(["cider"])
    expected = own.aggregate(own.statistics(predictions, references))
    found = module.compute(predictions=predictions, references=references)
    assert found == {"cider": expected, "signature": own.signature}


BROKEN = """
import evaluate
raise KeyError("not today")
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torchmetrics:text.WordErrorRate", "split"),  # takes one reference, not several
        ("torchmetrics:text.ROUGEScore", "nltk|choose with"),
        ("torchmetrics:multimodal.CLIPScore", "says"),
        ("torchmetrics:text", "not callable"),
    ],
)
def test_an_adapter_that_raises_takes_no_other_metric_with_it(monkeypatch, name, reason):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    given = [Sample(str(i), {}, ["a dog", "the dog"], str(i)) for i in range(3)]
    metrics = load_metrics([name, "exact_match"])
    scores = score_answers(metrics, SampleSet(given, "d", "test", "f"), ["a dog"] * 3)
    assert [entry.name for entry in scores.entries] == ["exact_match"]
    assert re.search(reason, scores.failed[name])
    assert "\n" not in scores.failed[name]


def test_an_adapter_that_cannot_be_loaded_takes_no_other_metric_with_it(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    name = f"evaluate:{tmp_path / 'broken.py'}"
    metrics = load_metrics([name, "exact_match"])
    given = [Sample(str(i), {}, "a", str(i)) for i in range(3)]
    scores = score_answers(metrics, SampleSet(given, "d", "test", "f"), ["a"] * 3)
    assert [entry.value for entry in scores.entries] == [1.0]
    assert "could not be loaded" in scores.failed[name]
    assert metrics[0].signature


def test_an_infinite_value_of_an_adapter_is_no_value():
    names = ["torchmetrics:text.CharErrorRate", "exact_match"]
    given = [Sample(str(i), {}, "", str(i)) for i in range(2)]
    scores = score_answers(load_metrics(names), SampleSet(given, "d", "t", "f"), ["abc"] * 2)
    assert [entry.name for entry in scores.entries] == ["exact_match"]
    assert "inf" in scores.failed[names[0]]
