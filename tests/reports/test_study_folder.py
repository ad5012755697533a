"""The study in `results/study` is all there: its report is made anew from its records alone."""

import pytest

from mmbench.experiments.study_setup import prepare
from mmbench.study import read_study
from tests.conftest import ROOT

STUDY = ROOT / "results" / "study"


@pytest.mark.whole
@pytest.mark.parametrize("file", sorted(STUDY.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_run_of_the_study_has_its_record(file, monkeypatch):
    monkeypatch.chdir(ROOT)  # as its datasets are named
    made = prepare(read_study(file))
    assert made.plan.new == []
    assert (
        len(list(made.requests())) == {"questions": 170, "captions": 21, "retrieval": 18}[file.stem]
    )
