"""Queries that fail are no answers: they are counted, left out of scores, and asked again."""

import json

import numpy as np
import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.failures import bounds_of
from mmbench.records.statistics_file import read_statistics
from mmbench.records.store import STATISTICS_FILE
from mmbench.task import Answer, Failure


class Failing:
    """Answers all but some queries, which it fails at for a reason."""

    def __init__(self, failing=(), word="yes", reason="no reply", name="failing"):
        self.failing, self.word, self.reason, self.name = set(failing), word, reason, name

    def settings(self):
        return {"word": self.word}

    def predict(self, queries):
        for place in range(len(queries)):
            yield Failure(self.reason) if place in self.failing else Answer(self.word)


def asked(out, failing=(), limit=200, **settings):
    words = {k: settings.pop(k) for k in ("word", "reason", "name") if k in settings}
    return mmbench.run("vqa", Failing(failing, **words), limit=limit, out=out, **settings)


def test_failed_queries_are_left_out_of_the_score_and_kept_with_their_reason(tmp_path):
    whole = asked(tmp_path / "whole")
    some = asked(tmp_path / "some", {3, 8})
    record = some.record
    assert record.unanswered == {"no reply": 2}
    assert record.samples == 200
    assert record.primary.samples == 198
    right = np.delete(whole.predictions()["accuracy"].to_numpy(), [3, 8])
    assert some.value == pytest.approx(right.mean())
    table = some.predictions()
    assert table["failure"].notna().to_numpy().nonzero()[0].tolist() == [3, 8]
    assert table["prediction"].isna().to_numpy().nonzero()[0].tolist() == [3, 8]
    assert table["accuracy"].isna().sum() == 2
    assert table["target"].notna().all()
    assert "failure" not in whole.predictions()
    assert sum(e.samples for e in record.metrics if e.category) == 198


def test_statistics_say_which_samples_are_answered_only_where_not_all_are(tmp_path):
    whole = asked(tmp_path / "whole").path / STATISTICS_FILE
    kept = read_statistics(asked(tmp_path / "some", {0, 199}).path / STATISTICS_FILE)
    assert kept.answered.sum() == 198
    assert not kept.answered[[0, 199]].any()
    assert {len(values) for values in kept.by_metric.values()} == {198}
    assert len(kept.groups) == len(kept.categories) == 198
    all_of_them = read_statistics(whole)
    assert all_of_them.answered is None
    assert all_of_them.samples == kept.samples
    assert b'"answered"' not in whole.read_bytes()
    spread = kept.by_place(np.ones(198))
    assert np.isnan(spread).nonzero()[0].tolist() == [0, 199]


def test_a_record_without_the_new_field_reads_and_seals_as_before(tmp_path):
    from mmbench.records.record import content_digest

    path = asked(tmp_path).path
    file = path / "run.json"
    value = json.loads(file.read_text())
    del value["unanswered"]
    value["content"] = content_digest(value)
    file.write_text(json.dumps(value))
    assert mmbench.load_run(path).record.unanswered == {}


def test_a_record_with_failures_is_not_reused_and_is_replaced(tmp_path):
    first = asked(tmp_path, {5})
    again = asked(tmp_path)
    assert not again.reused
    assert again.path == first.path
    assert again.record.unanswered == {}
    assert asked(tmp_path).reused


def test_above_one_in_a_hundred_no_score_is_shown_unasked(tmp_path):
    with pytest.raises(MMBenchError, match=r"3 of 200 queries \(1\.5%; 3 no reply\)") as error:
        asked(tmp_path, {1, 2, 3})
    assert "allow_failed=True" in str(error.value)
    assert "197 answers are kept" in str(error.value)
    assert "\n" not in str(error.value)
    [folder] = [file.parent for file in tmp_path.rglob("run.json")]
    with pytest.raises(MMBenchError, match="allow_failed=True"):
        mmbench.report(tmp_path)
    with pytest.raises(MMBenchError, match="allow_failed=True"):
        mmbench.compare_predictions(None, folder, folder)
    shown = mmbench.report(tmp_path, allow_failed=True)
    assert "3 of 200 queries" in shown
    assert asked(tmp_path, {1, 2, 3}, allow_failed=True).record.unanswered_count == 3


def test_what_the_score_could_be_had_none_failed_is_said(tmp_path):
    result = asked(tmp_path, {3, 8})
    whole = asked(tmp_path / "whole").predictions()["accuracy"].to_numpy()
    rest = np.delete(whole, [3, 8]).sum()
    assert bounds_of(result.record.primary, 2) == pytest.approx((rest / 200, (rest + 2) / 200))
    text = str(result)
    assert "2 of 200 queries (1%; 2 no reply)" in text
    assert f"is {rest / 2:.2f} if all of them are wrong and {(rest + 2) / 2:.2f} if all" in text
    assert "2 of 200 queries" in mmbench.report(result.path)


def test_runs_are_compared_over_what_both_answered(tmp_path):
    from mmbench.experiments.compare import compare_runs

    runs = {
        "a": [asked(tmp_path, {3}, name="a")],
        "b": [asked(tmp_path, {4}, name="b", word="no")],
    }
    right = [
        asked(tmp_path / "whole", name=name, word=word).predictions()["accuracy"].to_numpy()
        for name, word in (("a", "yes"), ("b", "no"))
    ]
    a, b = (np.delete(values, [3, 4]).mean() for values in right)
    found = compare_runs(runs)
    assert {e.model: e.mean for e in found.estimates} == pytest.approx({"a": a, "b": b})
    assert "198 of 200 samples that all runs answered" in " ".join(found.notes)
    assert "a seed 0 failed at 1 of 200" in " ".join(found.notes)
    [pair] = mmbench.compare_predictions(None, runs["a"][0].path, runs["b"][0].path).pairs[:1]
    assert abs(pair.difference.difference) == pytest.approx(abs(a - b))
    made = mmbench.report([run.path for of in runs.values() for run in of], format="json")
    [sheet] = json.loads(made)["tables"]
    assert "198 of 200 samples" in sheet["remarks"][0]
    shown = [row["values"][-1]["mean"] for row in sheet["rows"]]
    assert shown == pytest.approx(sorted([a, b], reverse=True))
    by_kind = mmbench.report(
        [run.path for of in runs.values() for run in of], layout="categories", format="json"
    )
    assert "198 of 200 samples" in by_kind


def test_predictions_of_a_file_are_held_against_what_a_record_answered(tmp_path):
    run = asked(tmp_path, {3})
    file = tmp_path / "theirs.jsonl"
    ids = run.predictions()["id"]
    file.write_text("".join(json.dumps({"id": i, "prediction": "no"}) + "\n" for i in ids))
    tested = mmbench.compare_predictions(None, run.path, file)
    assert "199 of 200 samples" in tested.notes[0]
    values = {estimate.model: estimate.mean for estimate in tested.estimates}
    assert values["A"] == run.value


def test_a_record_with_failures_is_verified_and_scored_again(tmp_path):
    from mmbench.experiments.rescore import rescored, verify_records
    from mmbench.experiments.score import load_metrics

    class Telling(Failing):
        def predict(self, queries):
            for each in super().predict(queries):
                is_answer = isinstance(each, Answer)
                yield Answer(each.value, written=f"{each.value}!") if is_answer else each

    run = mmbench.run("vqa", Telling({3}), limit=200, out=tmp_path)
    assert [problem for _, problem in verify_records([tmp_path])] == [None]
    from mmbench import registry
    from mmbench.experiments.rescore import samples_asked

    task = registry.load("tasks", "vqa")()
    samples = samples_asked(run.record, task)
    metrics = load_metrics(["exact_match", "accuracy"])
    again = rescored(run.path, run.record, task, samples, metrics)
    assert again.primary.name == "exact_match"
    assert again.primary.samples == 199
    table = run.predictions()
    assert table["failure"].notna().sum() == 1
    assert table["written"].dropna().unique().tolist() == ["yes!"]


def test_what_cannot_be_scored_is_refused(tmp_path):
    with pytest.raises(MMBenchError, match=r"failed at all 20 queries \(20 no reply\)"):
        asked(tmp_path, range(20), limit=20, allow_failed=True)

    class Half:
        def predict(self, queries):
            for place, _ in enumerate(queries):
                yield Failure("gone") if place == 1 else Answer(np.ones(4, np.float32))

    with pytest.raises(MMBenchError, match="retrieval needs an answer to each"):
        mmbench.run("retrieval", Half(), limit=8, out=tmp_path, allow_failed=True)
    assert not list(tmp_path.rglob("run.json"))


def test_a_page_shows_failed_samples_without_a_score(tmp_path):
    run = asked(tmp_path, {3})
    from mmbench.reports.page.scores import scores_of

    [score, *_] = scores_of({"failing": {0: run}}, np.array([2, 3, 4]))
    assert np.isnan(score.values["failing", 0]).tolist() == [False, True, False]
    assert "</html>" in mmbench.report(tmp_path, format="html")
