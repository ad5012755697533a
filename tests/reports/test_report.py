import csv
import dataclasses
import io
import re

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.reports.table import make_table
from tests.conftest import ROOT

REFERENCE = ROOT / "results" / "reference"


@pytest.fixture
def runs(mini, tmp_path):
    results = [
        mmbench.run("vqa", "majority", dataset=mini, limit=limit, seed=seed, out=tmp_path)
        for limit, seed in ((None, 0), (None, 1), (20, 0))
    ]
    return tmp_path, results


def altered(run, identity=None, **changes):
    """A run with another record, of another identity."""
    identity = run.record.identity.model_copy(update=identity or {"data": {"another": True}})
    record = run.record.model_copy(update={"identity": identity, **changes})
    return dataclasses.replace(run, record=record)


def test_a_column_is_a_comparable(runs):
    _, (one, two, limited) = runs
    table = make_table([one, two, limited])
    assert [(c.limit, c.split) for c in table.columns] == [(None, "test"), (20, "test")]
    for field, value in (("fingerprint", "other"), ("split", "validation"), ("dataset", "easy")):
        assert len(make_table([one, altered(two, **{field: value})]).columns) == 2
    metric = two.record.metrics[0].model_copy(update={"signature": "accuracy|match:fuzzy|v:1"})
    assert len(make_table([one, altered(two, metrics=[metric])]).columns) == 2
    assert len(make_table([one, two]).columns) == 1


def test_namesakes_say_why_they_stand_apart(runs):
    _, (one, _, limited) = runs
    notes = list(make_table([one, limited]).notes.values())
    assert "not comparable with its namesake: another limit" in notes[0]
    assert "first 20 samples only" in notes[1]


def test_a_run_recorded_twice_counts_once(runs):
    _, (one, *_) = runs
    newer = one.record.model_copy(update={"created": "2999-01-01T00:00:00+00:00"})
    table = make_table([dataclasses.replace(one, record=newer), one])
    assert len(next(iter(table.rows[0].cells.values())).values) == 1
    assert table.remarks == ["1 older records of the same runs are left out."]


def test_other_weights_and_recipes_are_other_rows(runs):
    _, (one, *_) = runs
    weights = one.record.weights.model_copy(update={"source": "shipped", "sha256": "ab"})
    recipe = one.record.recipe | {"width": 3}
    table = make_table(
        [
            one,
            altered(one, overrides={"width": 3}, recipe=recipe, identity={"settings": {"a": 1}}),
            altered(one, weights=weights, identity={"weights": "ab"}),
        ]
    )
    labels = ["majority", "majority (shipped weights)", "majority (width=3)"]
    assert sorted(row.label for row in table.rows) == labels
    assert sorted(row.title for row in table.rows) == [label.capitalize() for label in labels]


def test_the_reference_report_shows_every_model_best_first():
    text = mmbench.report(REFERENCE / "vqa" / "easy_vqa")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    models = [line[0].strip("| ") for line in lines[2:]]
    assert set(models) == {
        *("Gated", "Concatenation", "Attention"),
        *("Question only", "Image only", "Majority"),
    }
    values = [line[3].split()[0].strip("*") for line in lines[2:]]
    assert [float(value) for value in values] == sorted(map(float, values), reverse=True)
    assert "`accuracy|match:exact|normalise:none|v:1`, times 100" in text
    assert "9,673 questions in 1,000 groups, data `4aa5adf0d5ab30eb`" in text
    assert "over 3 seeds" in text
    assert "Holm-corrected over 15 tests" in text


def test_the_readme_of_the_results_shows_the_report_of_easy_vqa():
    readme = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    text = mmbench.report(REFERENCE / "vqa" / "easy_vqa")
    for line in text.splitlines():
        if line and not line.startswith("##"):
            assert line in readme


def test_every_task_and_dataset_has_a_table_of_its_own_in_a_draft():
    text = mmbench.report([REFERENCE / "vqa", REFERENCE / "captioning"])
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Captioning: Scenes",
        "Visual question answering: easy-VQA",
        "Visual question answering: Interactions",
        "Visual question answering: Scenes",
        "Visual question answering: Scenes words",
        "Visual question answering: VQA-RAD",
        "Visual question answering: VQA-RAD (as published)",
        "How the numbers are computed",
    ]
    captioning = text.split("## ")[1]
    assert captioning.splitlines()[2].startswith("| Model | Parameters | Seeds | CIDEr | BLEU-1 |")
    assert "ccuracy" not in captioning
    assert "| - |" not in captioning
    assert text.count("`accuracy|match:exact|normalise:none|v:1`") == 1


def test_in_a_paper_datasets_of_the_same_models_share_a_table():
    models = ("concat_fusion", "gated_fusion", "question_only", "image_only", "majority")
    vqa = REFERENCE / "vqa"
    shared = [vqa / dataset / model for dataset in ("easy_vqa", "scenes") for model in models]
    text = mmbench.report([*shared, vqa / "interactions"], style="paper")
    heads = [line for line in text.splitlines() if line.startswith("| Model")]
    assert heads[0] == "| Model | easy-VQA Accuracy | Scenes Accuracy |"
    assert "| Model | Accuracy |" in heads
    tables = mmbench.report([REFERENCE / "vqa", REFERENCE / "captioning"], "latex")
    assert len(re.findall(r"\\begin\{table\*?\}", tables)) == tables.count(r"\caption{")
    assert tables.count("% needs") == 1


def test_csv_has_a_line_a_model_and_column(runs):
    folder, _ = runs
    rows = list(csv.DictReader(io.StringIO(mmbench.report(folder, "csv"))))
    assert [(row["model"], row["limit"], row["seeds"]) for row in rows] == [
        ("majority", "", "2"),
        ("majority", "20", "1"),
    ]
    assert 0 < float(rows[0]["mean"]) < 1


def test_a_format_that_does_not_exist_names_the_nearest(runs):
    with pytest.raises(MMBenchError, match="no format 'latx'. Did you mean latex"):
        mmbench.report(runs[0], "latx")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"layout": "mian"}, "no layout 'mian'. Did you mean main"),
        ({"style": "papr"}, "no style 'papr'. Did you mean paper"),
        ({"spread": "se"}, "no spread 'se'"),
        ({"metrics": ["acuracy"]}, "no record has a metric 'acuracy'. Did you mean accuracy"),
        ({"baseline": "majorty"}, "no record is of the baseline 'majorty'. Did you mean majority"),
        ({"layout": "ablation"}, "--set"),
    ],
)
def test_what_does_not_exist_is_named(runs, asked, said):
    with pytest.raises(MMBenchError, match=re.escape(said)):
        mmbench.report(runs[0], **asked)


def test_metrics_stand_in_the_order_asked_for():
    text = mmbench.report(REFERENCE / "captioning", metrics=["meteor", "cider"])
    assert "| Seeds | METEOR | CIDEr |" in text
    assert "BLEU" not in text


def test_the_package_does_not_hide_the_function():
    assert callable(mmbench.report)
