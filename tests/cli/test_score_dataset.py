"""`mmbench score --dataset`: another model's predictions beside those of runs."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.rescore import verify_records


@pytest.fixture(scope="module")
def ours(mini_folder, tmp_path_factory):
    """A run on the small dataset, by a predictor that needs no training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        out = tmp_path_factory.mktemp("ours")
        return mmbench.run("vqa", "majority", dataset=str(mini_folder / "mini.yaml"), out=out)


@pytest.fixture
def theirs(ours, tmp_path):
    """Predictions of another model, in the official layout; those to every third question right."""
    table = ours.predictions()
    rows = [
        {"question_id": key, "answer": right if place % 3 else "nothing"}
        for place, (key, right) in enumerate(zip(table["id"], table["target"], strict=True))
    ]
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(rows[::-1]))
    return path


def test_predictions_and_runs_stand_in_one_column_of_report_and_page(mini, ours, theirs, tmp_path):
    out = tmp_path / "scored"
    scored = mmbench.score(None, theirs, dataset=mini, name="Their <model>", out=out)
    assert scored.record.model == "Their <model>"
    assert scored.value == pytest.approx(2 / 3, abs=0.01)
    assert scored.record.fingerprint == ours.record.fingerprint
    assert [e.signature for e in scored.record.metrics] == [
        e.signature for e in ours.record.metrics
    ]
    [(_, problem)] = verify_records([out])
    assert problem is None
    paths = [out, ours.path]
    report = mmbench.report(paths)
    table = [line for line in report.splitlines() if line.startswith("|")]
    assert len(table) == 4  # a head, a rule, two models
    assert table[0].count("Accuracy") == 1
    assert "Different machines" not in report
    with pytest.warns(UserWarning, match="without media: no dataset called 'mini'"):
        page = mmbench.report(paths, format="html")
    assert "Their \\u003cmodel" in page or "Their &lt;model" in page


def test_the_page_shows_the_media_of_predictions_for_a_registered_dataset(tmp_path):
    from mmbench.experiments.answered_dataset import asked_dataset
    from mmbench.reports.report import make_report

    rows = [{"id": s.id, "prediction": "no"} for s in asked_dataset("vqa", "easy_vqa").samples]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    scored = mmbench.score("vqa", tmp_path / "p.jsonl", dataset="easy_vqa", out=tmp_path / "out")
    page = make_report(scored.path, "html", samples=3)
    assert not [note for note in page.notes if "without media" in note]


def test_a_runs_own_answers_score_what_the_run_scored(mini, ours, tmp_path):
    again = mmbench.score(
        "vqa", ours.path / "predictions.parquet", dataset=mini, split="test", out=tmp_path
    )
    assert again.value == ours.value


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predictions_in_a_table_score_what_they_do_in_the_official_layout(
    mini, theirs, ending, tmp_path
):
    rows = json.loads(theirs.read_text())
    table = pd.DataFrame({"id": [r["question_id"] for r in rows]})
    table["prediction"] = [r["answer"] for r in rows]
    path = theirs.with_suffix(f".{ending}")
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    out = tmp_path / "scored"
    of_table, official = (mmbench.score("vqa", p, dataset=mini, out=out) for p in (path, theirs))
    assert of_table.value == official.value


@pytest.mark.parametrize("record_first", [True, False])
def test_a_record_is_compared_with_a_file(mini, ours, theirs, tmp_path, record_first):
    sides = (ours.path, theirs) if record_first else (theirs, ours.path)
    [pair] = mmbench.compare_predictions(None, *sides).pairs
    assert pair.difference.difference > 0
    better = "B" if record_first else "A"
    assert pair.difference.a == better
    scored = mmbench.score("vqa", theirs, dataset=mini, out=tmp_path / "scored")
    [of_records] = mmbench.compare_predictions(None, scored.path, ours.path).pairs
    assert of_records.difference.difference == pair.difference.difference
    assert of_records.difference.interval == pair.difference.interval


def test_two_files_are_compared_on_a_dataset(mini, ours, theirs):
    own = ours.path / "predictions.parquet"
    [pair] = mmbench.compare_predictions("vqa", theirs, own, dataset=mini).pairs
    assert pair.difference.a == "A"


def test_embeddings_are_ranked_on_a_retrieval_dataset(tmp_path):
    rng = np.random.default_rng(0)
    from mmbench.experiments.answered_dataset import asked_dataset

    texts = ["text" in s.inputs for s in asked_dataset("retrieval", "scenes").samples]
    image, text = rng.normal(size=(texts.count(False), 4)), rng.normal(size=(sum(texts), 4))
    np.savez(tmp_path / "e.npz", image=image, text=text)
    scored = mmbench.score("retrieval", tmp_path / "e.npz", dataset="scenes", out=tmp_path)
    of_images = [f"image_to_text_recall_at_{k}" for k in (1, 5, 10)]
    values = {e.name: e.value for e in scored.record.metrics}
    assert all(0 <= values[name] < 0.1 for name in of_images)
    np.savez(tmp_path / "few.npz", image=image[1:], text=text)
    with pytest.raises(MMBenchError, match="images and .* captions"):
        mmbench.score("retrieval", tmp_path / "few.npz", dataset="scenes", out=tmp_path)


def test_export_gives_the_ids_and_questions(mmbench, mini_folder, theirs, tmp_path):
    dataset = str(mini_folder / "mini.yaml")
    done = mmbench("data", "export", dataset)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"id", "text", "group", "category"} == set(rows[0])
    given = pd.DataFrame({"id": [row["id"] for row in rows], "prediction": "no"})
    given.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    named = ("--name", "Always no", "--predictions", "p.jsonl")
    done = mmbench("score", "--dataset", dataset, "--split", "test", *named)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Always no on vqa/mini, test split")
    assert re.search(r"accuracy +\d", done.stdout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "easy_vqa", "references": "r.json"}, "leave out --references"),
        ({"references": "r.json", "split": "test"}, "are of a --dataset"),
        ({}, "needs --dataset, or --task and --references"),
        ({"dataset": "easy_vqa", "name": " "}, "--name is empty"),
        ({"dataset": "easy_vqa"}, r"none of its ids \(7\) .* \(test/0, test/1"),
        ({"dataset": "easy_vqu"}, "Did you mean easy_vqa"),
        ({"dataset": "easy_vqa", "split": "tests"}, "Did you mean test"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(tmp_path, options, message):
    (tmp_path / "p.jsonl").write_text('{"id": 7, "prediction": "a"}\n')
    with pytest.raises(MMBenchError, match=message):
        mmbench.score("vqa", tmp_path / "p.jsonl", **options, out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_dataset_of_several_tasks_needs_one_named(tmp_path):
    with pytest.raises(MMBenchError, match="several tasks: name one with --task"):
        mmbench.score(None, tmp_path / "p.jsonl", dataset="scenes", out=tmp_path)
    with pytest.raises(MMBenchError, match="give real images"):
        mmbench.score("generation", tmp_path / "p.jsonl", dataset="scenes", out=tmp_path)
