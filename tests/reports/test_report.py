import csv
import dataclasses
import io
import shutil
import subprocess

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


def test_the_reference_report_shows_every_model_best_first():
    text = mmbench.report(REFERENCE / "vqa" / "easy_vqa")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    models = [line[0].strip("| ") for line in lines[2:]]
    assert set(models) == {
        *("gated_fusion", "concat_fusion", "attention_fusion"),
        *("question_only", "image_only", "majority"),
    }
    means = [float(line[3].split()[0]) for line in lines[2:]]
    assert means == sorted(means, reverse=True)
    assert "`accuracy|match:exact|normalise:none|v:1; x100; data 4aa5adf0d5ab30eb; 9673" in text


def test_every_task_and_dataset_has_a_table_of_its_own():
    text = mmbench.report([REFERENCE / "vqa", REFERENCE / "captioning"])
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "captioning/scenes",
        "vqa/easy_vqa",
        "vqa/interactions",
        "vqa/scenes",
        "vqa/vqa_rad",
        "vqa/vqa_rad_published",
    ]
    captioning = text.split("## ")[1]
    assert captioning.splitlines()[2].startswith("| model | parameters | seeds | test cider [a] |")
    assert "accuracy" not in captioning
    assert "| - |" not in captioning
    tables = mmbench.report([REFERENCE / "vqa", REFERENCE / "captioning"], "latex")
    assert tables.count(r"\begin{table}") == tables.count(r"\caption") == len(titles)
    assert tables.count("booktabs") == 1


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


def test_latex_compiles_with_booktabs(tmp_path):
    table = mmbench.report(REFERENCE, "latex")
    assert r"\toprule" in table
    assert "gated\\_fusion" in table
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("needs pdflatex")
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{table}"
    (tmp_path / "table.tex").write_text(document + r"\end{document}")
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_package_does_not_hide_the_function():
    assert callable(mmbench.report)
