"""Tuning: the same trials for all, on validation alone, apart from results, resumable."""

import shutil

import pytest

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import conditions
from mmbench.experiments.result import RunResult, load_run
from mmbench.experiments.search_space import Range, read_space
from mmbench.experiments.study import run_study
from mmbench.experiments.study_setup import prepare
from mmbench.records.store import find_records, read_record, rewrite_record
from mmbench.reports.beside import Beside
from mmbench.reports.checklist import checklist
from mmbench.reports.methods import methods
from mmbench.reports.study import study_result_text
from mmbench.reports.table import make_tables
from mmbench.study import make_study

QUESTION = "width: 8\nencoders: {image: null, text: bag_of_words}\ntrain: {epochs: 1}\n"
TRIALS = 3


class Stopped(Exception):
    pass


@pytest.fixture
def given(mini, tmp_path):
    for name in ("one", "two"):
        more = "search: {width: [8, 12]}\n" if name == "two" else ""
        (tmp_path / f"{name}.yaml").write_text(QUESTION + more)
    return {
        "task": "vqa",
        "dataset": mini,
        "models": [str(tmp_path / f"{name}.yaml") for name in ("one", "two")],
        "references": ["majority"],
        "seeds": [0, 1_000_000],
        "tune": TRIALS,
        "out": tmp_path / "out",
    }


def tables_of(out):
    return make_tables(RunResult(read_record(f), f, reused=True) for f in find_records([out]))


def paragraph(out):
    return " ".join(methods(tables_of(out), 1))


def tuning_budget(out):
    """The checklist's answer for records below a folder."""
    tables = tables_of(out)
    return next(a for a in checklist(tables, 1, Beside(tables, [])) if "tuning" in a.point)


def trials(out):
    return [read_record(folder) for folder in find_records([out / "tuning"])]


def test_tuning_is_on_validation_apart_from_results_and_goes_on_where_it_was(
    given, tmp_path, monkeypatch
):
    splits = []
    load = registry.load("tasks", "vqa").load
    monkeypatch.setattr(
        registry.load("tasks", "vqa"),
        "load",
        lambda self, spec, split: splits.append(split) or load(self, spec, split),
    )

    def stop(words):
        if "trial 2" in words:
            raise Stopped

    study = make_study(**given)
    prepare(study)
    splits.clear()
    with pytest.raises(Stopped):
        run_study(study, notice=stop)
    assert set(splits) <= {"train", "validation"}
    kept = {(r.model, r.content) for r in trials(study.out)}
    assert len(kept) >= 3
    assert len(find_records([study.out / "tuning"])) == len(kept)

    notices = []
    found = run_study(study, notice=notices.append)
    again = [words for words in notices if "trial" in words and "(recorded before)" in words]
    assert len(again) == len(kept)
    assert kept <= {(r.model, r.content) for r in trials(study.out)}

    records = trials(study.out)
    assert {r.split for r in records} == {"validation"}
    assert {r.seed for r in records} == {1_000_001}  # no seed that is reported
    assert {r.seed for r in (read_record(f) for f in find_records([study.out]))} == {0, 1_000_000}
    for name in ("one", "two"):
        tuned = found.tuned["vqa/mini", name]
        assert len(tuned.trials) == TRIALS
        assert tuned.trials[0].settings["train.lr"] == 2e-3  # the recipe as it is
        assert tuned.best.value == max(tuned.values)
        [settings] = {
            tuple(sorted(run.record.overrides.items())) for run in found.tables[0].runs[name]
        }
        assert dict(settings) == dict(tuned.best.settings)
    assert "width" in found.tuned["vqa/mini", "two"].keys
    assert "width" not in found.tuned["vqa/mini", "one"].keys
    text = study_result_text(found)
    assert text.count("3 trials on validation") == 2
    assert "not that of seeds" in text
    assert "tuning" in found.tables[0].conditions.differed  # the one has a larger space

    assert tuning_budget(study.out).answer == "yes"
    assert f"{TRIALS} trials" in tuning_budget(study.out).found
    for run in found.tables[0].runs["two"]:
        best = found.tuned["vqa/mini", "two"].best
        assert run.record.tuning.trials == TRIALS
        assert run.record.tuning.best == best.value
        assert load_run(run.path).record == run.record  # sealed anew

    whole = run_study(make_study(**given | {"out": tmp_path / "whole"}))
    assert [t.settings for t in whole.tuned["vqa/mini", "two"].trials] == [
        t.settings for t in found.tuned["vqa/mini", "two"].trials
    ]
    plan = prepare(study).plan
    assert (plan.trials, plan.tried, plan.new) == (2 * TRIALS, 2 * TRIALS, [])

    shutil.rmtree(study.out / "tuning")  # what the records say does not depend on it
    assert tuning_budget(study.out).answer == "yes"
    assert f"best of {TRIALS} trials on validation data" in paragraph(study.out)
    told = conditions({n: [r.record for r in of] for n, of in found.tables[0].runs.items()})
    assert told == found.tables[0].conditions
    records = [run.record for run in found.tables[0].runs["one"]]
    for run, record in zip(found.tables[0].runs["one"], records, strict=True):
        rewrite_record(run.path, record.model_copy(update={"tuning": None}))
    assert tuning_budget(study.out).answer == "no"
    for run, record in zip(found.tables[0].runs["one"], records, strict=True):
        less = record.tuning.model_copy(update={"trials": 2})
        rewrite_record(run.path, record.model_copy(update={"tuning": less}))
    assert tuning_budget(study.out).answer == "in part"


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({"train.rl": [1e-3]}, "the space names a key 'train.rl'.*Did you mean train.lr"),
        ({"fusion.heads": [2, 4]}, "'fusion.heads', which this model does not have"),
        ({"encoders.text.layrs": [1]}, "encoders.text.layrs"),
        ({"train.lr": {"low": 1, "hihg": 2}}, "search.train.lr: no key 'hihg'. Did you mean high"),
        ({"train.lr": {"low": 2, "high": 1}}, "low must be less than high"),
        ({"train.lr": {"low": 0, "high": 1, "log": True}}, "low must be greater than 0"),
        ({"train.lr": 3}, "must be a list of values, or a range"),
        ({"train.lr": []}, "must be a list of values, or a range"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_in_a_line(given, search, says):
    with pytest.raises(MMBenchError, match=says) as error:
        prepare(make_study(**given, search=search))
    assert "\n" not in str(error.value)
    assert not given["out"].exists()


def test_what_is_set_for_all_is_not_searched_and_a_budget_of_trials_is_equal(given):
    made = prepare(make_study(**given, overrides={"train.lr": 1e-3}))
    for _, search in made.searches("vqa/mini"):
        assert "train.lr" not in search.tuned().keys
        assert "train.weight_decay" in search.tuned().keys
        assert search.ask().overrides["train.lr"] == 1e-3


def test_a_range_of_whole_numbers_gives_whole_numbers():
    space = read_space({"a": {"low": 1, "high": 8}, "b": {"low": 0.5, "high": 2}}, "x")
    assert space["a"] == Range(low=1, high=8)
    assert space["a"].given(3) == 3
    assert space["a"].given(9) is None
