"""A record is JSON that every reader takes: no NaN, no infinity, no text that is none."""

import json

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.records.record import Record
from mmbench.records.store import read_record, write_record
from mmbench.records.verification import verified

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def record(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


@pytest.mark.parametrize(
    ("key", "number"), [("value", NAN), ("value", INF), ("ceiling", -INF), ("interval.high", NAN)]
)
def test_a_number_that_is_none_is_never_written(record, tmp_path, key, number):
    old = read_record(record)
    entry = old.metrics[1]
    if key == "interval.high":
        changed = {"interval": entry.interval.model_copy(update={"high": number})}
    else:
        changed = {key: number}
    bad = old.model_copy(update={"metrics": [old.metrics[0], entry.model_copy(update=changed)]})
    with pytest.raises(ValueError, match=f"{key} of {entry.name} of {entry.category} is {number}"):
        write_record(tmp_path / "new", bad, {})
    assert not (tmp_path / "new").exists()
    recipe = old.model_copy(update={"recipe": {"train": {"lr": number}}})
    with pytest.raises(ValueError, match=r"recipe.train.lr is"):
        write_record(record, recipe, {})
    assert verified(record) == old


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "null"])
def test_a_record_with_such_a_number_is_refused(record, number):
    value = json.loads((record / "run.json").read_text())
    value["metrics"][0]["value"] = "HERE"
    (record / "run.json").write_text(json.dumps(value).replace('"HERE"', number))
    with pytest.raises(MMBenchError, match="not a valid record"):
        read_record(record)


def test_a_record_nested_too_deep_is_no_record(record):
    (record / "run.json").write_text("[" * 100_000)
    with pytest.raises(MMBenchError, match="no record at"):
        read_record(record)


def test_a_record_keeps_names_that_are_no_text(record, tmp_path):
    old = read_record(record)
    named = Record.model_validate(old.model_dump() | {"model": "caf\udce9", "notes": ["\ud800"]})
    written = write_record(tmp_path / "new", named, {})
    assert written.model == "caf\\udce9"
    assert read_record(tmp_path / "new") == written
