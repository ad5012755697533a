"""Python objects and classes as models."""

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.task import Answer


class Word:
    def __init__(self, word="yes"):
        self.word = word

    def predict(self, queries):
        for query in queries:
            assert not hasattr(query, "target")
            yield Answer(self.word)


class Settled(Word):
    name = "settled"

    def settings(self):
        return {"word": self.word}


def test_an_object_answers_and_is_measured_anew_as_its_state_is_not_known(tmp_path):
    first = mmbench.run("vqa", Word("yes"), limit=40, out=tmp_path)
    again = mmbench.run("vqa", Word("no"), limit=40, out=tmp_path)
    assert first.record.model == "python:Word"
    assert not again.reused
    assert set(again.predictions()["prediction"]) == {"no"}


def test_an_object_that_says_what_decides_its_answers_has_its_record_reused(tmp_path):
    first = mmbench.run("vqa", Settled("yes"), limit=40, out=tmp_path)
    assert mmbench.run("vqa", Settled("yes"), limit=40, out=tmp_path).reused
    other = mmbench.run("vqa", Settled("no"), limit=40, out=tmp_path)
    assert not other.reused
    assert other.record.hash != first.record.hash
    assert other.record.model == "python:settled"


def test_a_class_is_named_by_where_it_is_written(tmp_path):
    name = f"{__name__}:Word"
    result = mmbench.run("vqa", name, limit=40, out=tmp_path, overrides={"word": "no"})
    assert set(result.predictions()["prediction"]) == {"no"}


@pytest.mark.parametrize("model", [Word, 3, object()])
def test_what_cannot_answer_is_no_model(model, tmp_path):
    with pytest.raises(MMBenchError, match=r"no predict\(queries\) to call"):
        mmbench.run("vqa", model, out=tmp_path)


def test_an_object_cannot_be_named_on_a_command_line(tmp_path):
    with pytest.raises(MMBenchError, match="stands for an object in a Python program"):
        mmbench.run("vqa", "python:Word", out=tmp_path)
