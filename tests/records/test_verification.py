"""An edited record is known, whatever of it was edited."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.rescore import verify_records
from mmbench.records.record import content_digest
from mmbench.records.statistics_file import read_statistics, smallest
from mmbench.records.verification import verified


@pytest.fixture
def record(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results").path


def change(folder, edit, seal=False):
    """Edit a record's JSON; with its own hash made anew if `seal`, as a careful forger would."""
    path = folder / "run.json"
    value = json.loads(path.read_text())
    edit(value)
    if seal:
        value["content"] = content_digest(value)
    path.write_text(json.dumps(value))


def better(value):
    value["metrics"][0]["value"] = 0.99


EDITS = {
    "value": better,
    "of a category": lambda v: v["metrics"][1].update(value=0.98),
    "interval": lambda v: v["metrics"][0]["interval"].update(low=0.9),
    "notes": lambda v: v.update(notes=["nothing"]),
    "model": lambda v: v.update(model="ours"),
    "parameters": lambda v: v.update(parameters={"fusion": 1}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_record_is_refused_by_whatever_reads_it(record, edit):
    verified(record)
    change(record, edit)
    for read in (verified, mmbench.load_run):
        with pytest.raises(MMBenchError, match=r"run\.json was changed after the run"):
            read(record)
    with pytest.raises(MMBenchError, match=r"run\.json was changed after the run"):
        mmbench.report(record)
    with pytest.raises(MMBenchError, match=r"run\.json was changed after the run"):
        mmbench.compare_predictions(None, record, record)


def test_a_value_that_the_statistics_do_not_give_is_refused_also_under_a_new_hash(record):
    change(record, better, seal=True)
    with pytest.raises(MMBenchError, match=r"accuracy is 0\.99, but its statistics give"):
        verified(record)
    change(record, EDITS["of a category"], seal=True)
    with pytest.raises(MMBenchError, match="but its statistics give"):
        verified(record)


@pytest.mark.parametrize("name", ["predictions.parquet", "statistics.npz"])
def test_a_file_that_was_swapped_or_is_gone_is_named(record, name):
    (record / name).write_bytes((record / name).read_bytes() + b"more")
    with pytest.raises(MMBenchError, match=f"{name} was changed after the run"):
        verified(record)


def test_a_record_without_its_statistics_is_refused(record):
    (record / "statistics.npz").unlink()
    with pytest.raises(MMBenchError, match=r"though run\.json names it"):
        verified(record)


def test_a_record_kept_without_its_answers_is_read_and_says_so_where_they_are_asked_for(record):
    before = verified(record)
    (record / "predictions.parquet").unlink()
    assert verified(record) == before
    assert list(verify_records([record])) == [(record, None)]
    with pytest.raises(MMBenchError, match="kept without its answers.*force=True"):
        mmbench.load_run(record).predictions()


def test_a_run_does_not_reuse_an_edited_record(mini, record, tmp_path):
    change(record, better)
    with pytest.raises(MMBenchError, match="was changed after the run"):
        mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results")
    again = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results", force=True)
    assert verified(again.path).primary.value < 0.99


def test_predictions_that_do_not_give_the_scores_are_found_by_verify(record):
    assert list(verify_records([record])) == [(record, None)]
    table = pd.read_parquet(record / "predictions.parquet")
    table["prediction"] = table["target"]
    table.to_parquet(record / "predictions.parquet", index=False)
    content = hashlib.sha256((record / "predictions.parquet").read_bytes()).hexdigest()
    change(record, lambda v: v["files"].update({"predictions.parquet": content}), seal=True)
    verified(record)
    [(folder, problem)] = verify_records([record])
    assert folder == record
    assert "but the stored answers give 1.0" in problem


def test_statistics_come_back_exactly_in_small_types(record):
    kept = read_statistics(record / "statistics.npz")
    entry = verified(record).primary
    assert kept.by_metric["accuracy"].mean() == entry.value
    assert len(kept.groups) == entry.samples
    assert kept.category_names == ["yes/no"]
    assert kept.of_category("yes/no").sum() < entry.samples
    for values in (
        np.array([0.0, 1.0]),
        np.array([0.1, np.nan]),
        np.array([-3.0, 70_000.0]),
        np.array([0.5, 1e300]),
        np.random.default_rng(0).normal(size=50),
    ):
        small = smallest(values)
        assert small.dtype.itemsize <= values.dtype.itemsize
        np.testing.assert_array_equal(small.astype(np.float64), values)


def test_records_of_a_report_are_verified_one_by_one(mini, record, tmp_path):
    other = shutil.copytree(record, record.parent / "seed-1")
    change(other, better)
    with pytest.warns(UserWarning, match="was changed after the run"):
        text = mmbench.report(tmp_path / "results")
    assert "Majority" in text


def test_a_field_that_is_added_to_records_later_leaves_those_of_before_whole(record):
    def lacks_it(value):
        del value["peak_gpu_memory_mb"]
        del value["environment"]["deterministic"]
        del value["environment"]["compiled"]

    change(record, lacks_it, seal=True)
    assert verified(record).peak_gpu_memory_mb is None
