import json
import shutil
from pathlib import Path

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.records import store
from mmbench.reports.run import record_text


@pytest.fixture
def record(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


def change(folder: Path, **fields: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_record_says_all_that_a_reader_needs(record):
    value = json.loads((record / "run.json").read_text())
    assert value["schema_version"] == store.SCHEMA_VERSION
    assert {"torch", "datasets", "numpy"} <= set(value["environment"]["packages"])
    assert value["environment"]["threads"] >= 1
    assert value["fingerprint"]
    assert value["peak_memory_mb"] > 0
    assert all(m["signature"] and m["interval"] for m in value["metrics"])
    assert value["identity"]["fitted_on"]
    assert record.parent.name == store.read_record(record).hash[:8]


def test_a_failed_write_leaves_the_earlier_record(record, monkeypatch):
    before = {p.name: p.read_bytes() for p in record.iterdir()}
    old = store.read_record(record)

    def no_space(self, *_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(MMBenchError, match="No space left on device. Make room"):
        store.write_record(record, old, {"predictions.parquet": b"new"})
    assert {p.name: p.read_bytes() for p in record.iterdir()} == before
    assert [p.name for p in record.parent.iterdir()] == [record.name]


def test_a_record_of_another_schema_is_refused(record):
    change(record, schema_version=99)
    with pytest.raises(MMBenchError, match="schema version 99; this mmbench reads 2"):
        store.read_record(record)


def test_an_invalid_record_names_the_key(record):
    change(record, samples="many")
    with pytest.raises(MMBenchError, match="not a valid record: samples"):
        store.read_record(record)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\x00"])
def test_a_broken_record_is_no_record(record, content):
    (record / "run.json").write_text(content)
    with pytest.raises(MMBenchError, match="no record at"):
        store.read_record(record)


def test_records_are_found_at_any_depth_but_not_half_written_ones(record, tmp_path):
    shutil.copytree(record, record.parent / ".seed-1-half")
    assert store.find_records([tmp_path]) == [record]
    assert store.find_records([record / "run.json"]) == [record]
    with pytest.raises(MMBenchError, match="no such path"):
        store.find_records([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MMBenchError, match="no record at or below"):
        store.find_records([tmp_path / "empty"])


def test_a_ceiling_is_kept_and_printed_and_a_record_without_is_read(record):
    metrics = json.loads((record / "run.json").read_text())["metrics"]
    assert metrics[0]["ceiling"] is None
    assert "  ceiling " not in record_text(store.read_record(record), record)
    change(record, metrics=[{k: v for k, v in m.items() if k != "ceiling"} for m in metrics])
    assert store.read_record(record).primary.ceiling is None
    change(record, metrics=[metrics[0] | {"ceiling": 0.9876}, *metrics[1:]])
    lines = record_text(store.read_record(record), record).splitlines()
    assert [line.split("  ")[-1] for line in lines if "  ceiling " in line] == ["ceiling 98.76"]
