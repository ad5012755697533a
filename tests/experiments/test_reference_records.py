"""What a comparison makes of the reference records: nothing is trained, on any task."""

import shutil

import pytest

import mmbench
from mmbench import registry
from mmbench.experiments.rescore import verify_records
from mmbench.reports.comparison import comparison_text
from tests.conftest import ROOT

REFERENCE = ROOT / "results" / "reference"
FUSIONS = ["concat_fusion", "attention_fusion", "gated_fusion"]


@pytest.mark.whole
@pytest.mark.parametrize("task", registry.names("tasks"))
def test_compare_reads_the_stored_statistics_of_every_task(task, tmp_path):
    dataset, seeds = ("easy_vqa", 3) if task == "vqa" else ("scenes", 1)
    shutil.copytree(REFERENCE / task / dataset, tmp_path / task / dataset)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")}
    reused, notices = [], []
    comparison = mmbench.compare(
        task,
        FUSIONS,
        seeds=seeds,
        dataset=dataset,
        out=tmp_path,
        told=lambda model, seed, result: reused.append(result.reused),
        notice=notices.append,
    )
    assert not any(words.startswith("new: ") for words in notices)
    assert reused == [True] * len(FUSIONS) * seeds
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.json")} == before
    assert comparison.family.tests == 3
    for pair in comparison.family.pairs:
        assert pair.difference.interval.low <= pair.difference.interval.high
    text = comparison_text(comparison)
    assert all(model in text for model in FUSIONS)


def test_a_record_whose_dataset_is_not_at_hand_is_verified_by_what_it_keeps():
    folder = REFERENCE / "vqa" / "vqa_rad" / "majority"
    found = list(verify_records([folder]))
    assert len(found) == 3
    assert [why for _, why in found] == [None] * 3
