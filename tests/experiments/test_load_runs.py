"""All records below a folder as one frame."""

import shutil

import pytest

import mmbench
from mmbench.errors import MMBenchError
from tests.conftest import ROOT

EASY = ROOT / "results" / "reference" / "vqa" / "easy_vqa"


def test_a_row_is_a_metric_and_category_of_a_run():
    frame = mmbench.load_runs(EASY / "gated_fusion")
    assert set(frame["seed"]) == {0, 1, 2}
    assert set(frame["category"]) == {"all", "color", "shape", "yes/no"}
    assert len(frame) == 12
    row = frame[(frame["seed"] == 0) & (frame["category"] == "all")].iloc[0]
    run = mmbench.load_run(row["path"])
    assert row["value"] == run.value
    assert row["signature"] == run.record.primary.signature
    assert row["parameters"] == 461_229
    assert row["low"] < row["value"] <= row["high"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for load in (mmbench.load_run, mmbench.load_runs):
        with pytest.raises(MMBenchError, match="nowhere"):
            load(tmp_path / "nowhere")


def test_an_edited_record_is_left_out_and_named(tmp_path):
    shutil.copytree(EASY / "majority", tmp_path / "majority")
    file = next(tmp_path.glob("majority/*/seed-1/run.json"))
    file.write_text(file.read_text().replace('"seed": 1', '"seed": 9'))
    with pytest.warns(UserWarning, match="seed-1"):
        frame = mmbench.load_runs(tmp_path)
    assert set(frame["seed"]) == {0, 2}
    for seed in (0, 2):
        shutil.rmtree(next(tmp_path.glob(f"majority/*/seed-{seed}")))
    with pytest.raises(MMBenchError, match="no record there can be read"):
        mmbench.load_runs(tmp_path)
