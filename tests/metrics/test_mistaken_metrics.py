"""A metric of another package that breaks its contract takes no other metric down."""

import json
import sys

import pytest

import mmbench
from mmbench.checks.parts import check_part
from mmbench.errors import MMBenchError

METRICS = """
import numpy as np
from mmbench.metrics.base import MeanMetric


class Lists(MeanMetric):
    "Gives a list."

    name = source = "lists"

    def statistics(self, predictions, targets):
        return [p == t for p, t in zip(predictions, targets)]


class Flat(Lists):
    "Gives one dimension."

    def statistics(self, predictions, targets):
        return np.ones(len(targets))


class Raises(Lists):
    "Fails."

    def statistics(self, predictions, targets):
        return 1 / 0
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "odd_metrics.py").write_text(METRICS)
    (tmp_path / "given.jsonl").write_text(json.dumps({"id": 1, "prediction": "red"}) + "\n")
    (tmp_path / "right.jsonl").write_text(json.dumps({"id": 1, "target": "red"}) + "\n")
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("odd_metrics", None)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Lists", "gives list"),
        ("Flat", "gives an array (1,)"),
        ("Raises", "ZeroDivisionError: division by zero (odd_metrics.py, line"),
    ],
)
def test_it_is_named_with_what_it_does_and_the_others_are_kept(name, says):
    names = ["accuracy", f"odd_metrics:{name}"]
    result = mmbench.score("vqa", "given.jsonl", "right.jsonl", metrics=names)
    assert [entry.name for entry in result.record.metrics] == ["accuracy"]
    (failed,) = result.record.failed.values()
    assert says in failed
    assert f"mmbench check metric odd_metrics:{name}" in failed


def test_check_says_where_a_metric_fails_on_texts():
    with pytest.raises(MMBenchError, match=r"ZeroDivisionError.*odd_metrics.py, line"):
        check_part("metric", "odd_metrics:Raises")
