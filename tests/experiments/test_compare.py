import csv
import dataclasses
import io
import os
import signal
import subprocess

import pytest

import mmbench
from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.compare import compare_runs
from mmbench.reports.comparison import comparison_text
from mmbench.reports.table import make_table
from tests.conftest import command_line, environment

ARGUMENTS = [
    "compare",
    "--task",
    "vqa",
    "--models",
    "concat_fusion,gated_fusion",
    "--seeds",
    "2",
    "--set",
    "train.epochs=20",
]


@pytest.fixture(scope="module")
def comparison(mini_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        yield mmbench.compare(
            "vqa",
            ["majority", "concat_fusion", "gated_fusion"],
            seeds=2,
            dataset=str(mini_folder / "mini.yaml"),
            overrides=None,
            limit=80,
            out=tmp_path_factory.mktemp("compare"),
        )


def test_models_are_ranked_and_compared_to_the_best(comparison):
    best, *others = comparison.estimates
    assert [e.mean for e in comparison.estimates] == sorted(
        (e.mean for e in comparison.estimates), reverse=True
    )
    assert comparison.against(best.model) is None
    for found in others:
        pair = comparison.against(found.model)
        assert pair.difference.difference == pytest.approx(best.mean - found.mean)
        assert pair.adjusted >= pair.difference.p_value
        interval = pair.difference.interval
        assert interval.low <= pair.difference.difference <= interval.high
    assert comparison.family.tests == 3
    for found in comparison.estimates:
        assert found.interval.low <= found.mean <= found.interval.high


def test_the_means_are_of_the_records(comparison):
    for found in comparison.estimates:
        values = [run.record.primary.value for run in comparison.runs[found.model]]
        assert len(values) == 2
        assert found.mean == pytest.approx(sum(values) / 2)


def test_the_conditions_are_those_of_the_records(comparison):
    told = comparison.conditions
    assert {"data", "training data", "training settings", "kind of device"} <= set(told.equal)
    assert set(told.differed) == {"fusion"}
    assert told.marks == {}


def test_compare_score_and_report_give_the_same_numbers(comparison):
    frame = comparison.to_frame().set_index("model")
    folder = comparison.runs["majority"][0].path.parents[4]
    rows = {r["model"]: r for r in csv.DictReader(io.StringIO(mmbench.report(folder, "csv")))}
    for model, row in frame.iterrows():
        for ours, theirs in (("mean", "mean"), ("sd", "sd"), ("low", "low"), ("high", "high")):
            assert float(rows[model][theirs]) == row[ours]
    one = compare_runs({m: runs[:1] for m, runs in comparison.runs.items() if m != "concat_fusion"})
    pair = one.family.pairs[0].difference
    a, b = (comparison.runs[model][0].path for model in (pair.a, pair.b))
    [tested] = mmbench.compare_predictions(None, a, b).pairs
    assert tested.difference.difference == pair.difference
    assert tested.difference.interval == pair.interval
    assert tested.difference.p_value == pair.p_value
    assert tested.difference.of_checkpoints


def test_unequal_seeds_and_a_failed_one_are_compared_and_said(comparison):
    runs = dict(comparison.runs)
    runs["gated_fusion"] = runs["gated_fusion"][:1]
    failed = {("gated_fusion", 1): "the loss became nan"}
    found = compare_runs(runs, failed=failed)
    text = comparison_text(found)
    assert "1-2 seeds" in text
    assert "gated_fusion seed 1: the loss became nan" in text
    assert "this run of gated_fusion" in " ".join(pair.verdict for pair in found.family.pairs)


def test_models_without_any_spread_have_no_effect_size_and_no_least_difference(comparison):
    runs = comparison.runs["majority"]
    found = compare_runs({"a": runs, "b": runs})
    [pair] = found.family.pairs
    assert (pair.difference.difference, pair.difference.p_value) == (0.0, 1.0)
    assert (pair.difference.effect_size, pair.least_seen) == (None, None)
    assert "the same on every sample" in pair.verdict


def test_a_baseline_is_compared_with_all_others(comparison):
    found = compare_runs(comparison.runs, baseline="majority")
    assert {pair.difference.b for pair in found.family.pairs} == {"majority"}
    assert "baseline" in comparison_text(found)
    with pytest.raises(MMBenchError, match="the baseline nothing is not among"):
        compare_runs(comparison.runs, baseline="nothing")


def altered(run, **changes):
    """A run whose record is another one's: of another device, versions, commit."""
    record = run.record
    identity = record.identity.model_copy(update=changes.pop("identity", {}))
    place = record.environment.model_copy(update=changes)
    record = record.model_copy(update={"identity": identity, "environment": place})
    return dataclasses.replace(run, record=record)


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ({"device": "cuda"}, r"kinds of device \(cpu, cuda\)"),
        ({"parts": {"training": 9}}, r"versions of training \(2, 9\)"),
    ],
)
def test_mixed_devices_and_versions_are_refused_unless_asked_for(comparison, identity, says):
    runs = dict(comparison.runs)
    runs["gated_fusion"] = [altered(run, identity=identity) for run in runs["gated_fusion"]]
    with pytest.raises(MMBenchError, match=says) as error:
        compare_runs(runs)
    assert "allow_mixed=True" in str(error.value)
    assert any("mixed" in note for note in compare_runs(runs, allow_mixed=True).notes)
    every = [run for of in runs.values() for run in of]
    assert len(make_table(every).columns) > 1
    assert len(make_table(every, allow_mixed=True).columns) == 1


def test_other_commits_and_versions_of_libraries_are_a_footnote(comparison):
    runs = dict(comparison.runs)
    packages = runs["majority"][0].record.environment.packages | {"numpy": "1.0"}
    runs["majority"] = [
        altered(run, git_commit="f" * 40, git_dirty=False, packages=packages)
        for run in runs["majority"]
    ]
    notes = " ".join(compare_runs(runs).notes)
    assert "ffffffff" in notes
    assert "different versions of numpy: 1.0" in notes


def test_a_training_that_is_not_that_of_the_others_is_warned_of_and_marked(mini, tmp_path):
    (tmp_path / "longer.yaml").write_text("fusion: concat\ntrain: {epochs: 2}\n")
    (tmp_path / "a.yaml").write_text("fusion: concat\ntrain: {epochs: 1}\n")
    (tmp_path / "b.yaml").write_text("fusion: gated\ntrain: {epochs: 1}\n")
    notices = []
    models = [str(tmp_path / f"{name}.yaml") for name in ("a", "b", "longer")]
    found = mmbench.compare(
        "vqa", models, seeds=1, dataset=mini, out=tmp_path / "out", notice=notices.append
    )
    warning = next(n for n in notices if "is not trained as the others" in n)
    assert "longer" in warning
    assert "epochs 2, not 1" in warning
    assert notices.index(warning) < len(models) + 1  # before anything is trained
    assert found.conditions.marks == {"longer": "epochs 2, not 1"}
    assert "longer*" in comparison_text(found)
    text = mmbench.report(tmp_path / "out")
    assert "| Longer\\* |" in text
    assert "Longer\\*: not trained as the others are: epochs 2, not 1" in text


PLUG_IN = """
from torch import zeros_like
from mmbench.zoo.fusion.concat import ConcatFusion

class Mine(ConcatFusion):
    "Concatenation."
    FUSED = 1.0
"""


def test_a_record_of_other_code_is_not_reused_and_compare_says_why(mini, tmp_path, monkeypatch):
    folder = tmp_path / "plug"
    (folder / "someones-1.0.dist-info").mkdir(parents=True)
    (folder / "someones-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: someones\nVersion: 1.0\n"
    )
    (folder / "someones-1.0.dist-info" / "entry_points.txt").write_text(
        "[mmbench.fusions]\nmine = someones_fusion:Mine\n"
    )
    (folder / "someones_fusion.py").write_text(PLUG_IN)
    (tmp_path / "mine.yaml").write_text("fusion: mine\ntrain: {epochs: 1}\n")
    monkeypatch.syspath_prepend(str(folder))
    registry._entries.cache_clear()
    notices, told = [], []

    def compare():
        notices.clear()
        told.clear()
        mmbench.compare(
            "vqa",
            ["majority", str(tmp_path / "mine.yaml")],
            seeds=1,
            dataset=mini,
            out=tmp_path / "out",
            notice=notices.append,
            told=lambda model, seed, result: told.append((model, result.reused)),
        )

    try:
        compare()
        assert "new: each model (0): no record yet" in notices
        compare()
        assert told == [("majority", True), ("mine", True)]
        (folder / "someones_fusion.py").write_text(PLUG_IN.replace("1.0", "0.0"))
        compare()
        assert told == [("majority", True), ("mine", False)]
        assert "new: mine (0): the nearest record differs in parts.fusions:mine" in notices[0]
    finally:
        registry._entries.cache_clear()


def test_force_runs_what_has_a_record_again(mini, tmp_path):
    told = []

    def compare(**more):
        told.clear()
        (tmp_path / "q.yaml").write_text(
            "encoders: {image: null, text: bag_of_words}\ntrain: {epochs: 1}\n"
        )
        mmbench.compare(
            "vqa",
            ["majority", str(tmp_path / "q.yaml")],
            seeds=1,
            dataset=mini,
            out=tmp_path / "out",
            told=lambda model, seed, result: told.append(result.reused),
            **more,
        )
        return list(told)

    assert (compare(), compare(), compare(force=True)) == (
        [False, False],
        [True, True],
        [False, False],
    )


def test_the_text_and_the_frame_show_every_model(comparison):
    text = comparison_text(comparison)
    frame = comparison.to_frame()
    assert frame["model"].tolist() == [found.model for found in comparison.estimates]
    for model in frame["model"]:
        assert f"  {model} " in text


@pytest.mark.parametrize(
    ("models", "options", "says"),
    [
        (["gated_fusion"], {}, "at least two models"),
        (["gated_fusion", "gated_fusion"], {}, "named twice"),
        (["gated_fusion", "concat_fuson"], {}, "Did you mean concat_fusion"),
        (["gated_fusion", "concat_fusion"], {"seeds": 0}, "seeds= must be at least 1"),
        (["gated_fusion", "concat_fusion"], {"dataset": "easy_vqaa"}, "Did you mean easy_vqa"),
    ],
)
def test_a_mistake_is_found_before_anything_is_trained(tmp_path, models, options, says):
    with pytest.raises(MMBenchError, match=says):
        mmbench.compare("vqa", models, out=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_models_may_be_named_in_one_text_as_on_the_command_line(mini, tmp_path):
    with pytest.raises(MMBenchError, match="no model called 'nothing'"):
        mmbench.compare("vqa", "majority,nothing", dataset=mini, out=tmp_path)
    with pytest.raises(MMBenchError, match="at least two models, got majority"):
        mmbench.compare("vqa", "majority", dataset=mini, out=tmp_path)


@pytest.mark.whole
def test_killed_and_called_again_gives_the_same_table(mini_folder, tmp_path, mmbench):
    dataset = ("--dataset", str(mini_folder / "mini.yaml"))
    whole = mmbench(*ARGUMENTS, *dataset, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    cut = (*ARGUMENTS, *dataset, "--out", "cut")
    process = subprocess.Popen(
        command_line(*cut),
        cwd=tmp_path,
        env=environment(mini_folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("gated_fusion seed 0 epoch 2/20"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cut").rglob("run.json"))) == 1
    again = mmbench(*cut)
    assert "concat_fusion seed 0: " in again.stderr
    assert "(recorded before)" in again.stderr
    assert "gated_fusion seed 0 goes on after epoch" in again.stderr
    assert table(again.stdout) == table(whole.stdout)
    left = [p.name for p in (tmp_path / "cut").rglob("*") if p.name.startswith(".")]
    assert left in ([], [".lock"])


def table(text: str) -> list[list[str]]:
    """The table's cells less the training time, which differs from run to run."""
    lines = [line.split() for line in text.splitlines()]
    return [cells[:-2] if cells[-1] == "s" else cells for cells in lines]


def test_a_run_that_fails_is_named_and_the_others_go_on(mini, tmp_path):
    recipe = "encoders: {{image: null, text: bag_of_words}}\ntrain: {{epochs: 1, lr: {lr}}}\n"
    (tmp_path / "good.yaml").write_text(recipe.format(lr="1.0e-3"))
    (tmp_path / "wild.yaml").write_text(recipe.format(lr="1.0e+38"))
    models = ["majority", *(str(tmp_path / f"{name}.yaml") for name in ("good", "wild"))]
    found = mmbench.compare("vqa", models, seeds=1, dataset=mini, out=tmp_path / "out")
    assert list(found.failed) == [("wild", 0)]
    assert "the loss became" in found.failed["wild", 0]
    assert {estimate.model for estimate in found.estimates} == {"majority", "good"}
    assert "wild seed 0: the loss became" in comparison_text(found)
