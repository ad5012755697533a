"""Records of schema version 1 become ones that can be read, and are found again."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.convert import convert_records
from mmbench.records.arrays_file import unpacked
from mmbench.records.store import read_record
from mmbench.records.verification import verified


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the majority on the first questions of easy-VQA, as this version records it."""
    out = tmp_path_factory.mktemp("made")
    return mmbench.run("vqa", "majority", dataset="easy_vqa", limit=50, out=out)


@pytest.fixture
def earlier(made, tmp_path):
    """The same as version 1 wrote it; its folder."""
    value = json.loads((made.path / "run.json").read_text())
    for key in ("identity", "content", "peak_gpu_memory_mb"):
        del value[key]
    for key in ("latency_p50", "latency_p95", "latency_samples"):
        del value["inference"][key]
    for key in ("precision", "cuda", "cudnn"):
        del value["environment"][key]
    del value["files"]["statistics.npz"]
    folder = tmp_path / "vqa" / "easy_vqa" / "majority" / "0123abcd" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(value | {"schema_version": 1, "hash": "0" * 64}))
    (folder / "predictions.parquet").write_bytes((made.path / "predictions.parquet").read_bytes())
    return folder


def test_a_record_of_version_1_is_never_dropped_in_silence(earlier, tmp_path):
    with pytest.raises(MMBenchError, match=r"schema version 1.*mmbench convert"):
        read_record(earlier)
    with pytest.raises(MMBenchError, match="mmbench convert"):
        mmbench.report(tmp_path)


def test_a_converted_record_holds_its_values_and_is_found_again(earlier, made, tmp_path):
    [(folder, problem)] = convert_records([tmp_path])
    assert problem is None
    assert not earlier.exists()
    record = verified(folder)
    assert record.hash == made.record.hash
    assert [e.value for e in record.metrics] == [e.value for e in made.record.metrics]
    again = mmbench.run("vqa", "majority", dataset="easy_vqa", limit=50, out=tmp_path)
    assert again.reused
    assert again.path == folder
    assert list(convert_records([tmp_path])) == []


def test_an_edited_record_is_not_converted_and_stays(earlier, tmp_path):
    value = json.loads((earlier / "run.json").read_text())
    value["metrics"][0]["value"] = 0.99
    (earlier / "run.json").write_text(json.dumps(value))
    [(folder, problem)] = convert_records([tmp_path])
    assert folder == earlier
    assert "0.99, but its answers give" in problem
    assert json.loads((earlier / "run.json").read_text()) == value


@pytest.fixture
def uncompressed(made, tmp_path):
    """The record as version 2 wrote it at first, its statistics in safetensors; its folder."""
    folder = shutil.copytree(made.path, tmp_path / "vqa" / "majority" / "seed-0")
    arrays, about = unpacked(folder / "statistics.npz")
    (folder / "statistics.npz").unlink()
    save_file(arrays, folder / "statistics.safetensors", {"mmbench": json.dumps(about)})
    names = [n for n in made.record.files if n != "statistics.npz"] + ["statistics.safetensors"]
    hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
    record = made.record.model_copy(update={"files": hashes}).sealed()
    (folder / "run.json").write_text(record.model_dump_json())
    return folder


def test_statistics_that_are_not_compressed_are_and_nothing_else_changes(uncompressed, made):
    with pytest.raises(MMBenchError, match="statistics.npz: `mmbench convert"):
        verified(uncompressed)
    assert list(convert_records([uncompressed])) == [(uncompressed, None)]
    record = verified(uncompressed)
    assert record.hash == made.record.hash
    assert record.metrics == made.record.metrics
    assert not (uncompressed / "statistics.safetensors").exists()
    before, after = (
        unpacked(made.path / "statistics.npz"),
        unpacked(uncompressed / "statistics.npz"),
    )
    assert before[1] == after[1]
    assert all(np.array_equal(before[0][name], array) for name, array in after[0].items())
    assert list(convert_records([uncompressed])) == []


def test_a_record_that_was_changed_is_not_compressed_and_stays(uncompressed):
    before = (uncompressed / "statistics.safetensors").read_bytes()
    (uncompressed / "statistics.safetensors").write_bytes(before[:-1])
    [(_, problem)] = convert_records([uncompressed])
    assert "statistics.safetensors was changed" in problem
    assert (uncompressed / "statistics.safetensors").read_bytes() == before[:-1]
