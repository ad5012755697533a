import os
import signal
import subprocess

import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.reports.comparison import comparison_text
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
    rows = comparison.rows
    assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True)
    assert rows[0].difference is None
    for row in rows[1:]:
        assert row.difference == pytest.approx(row.mean - rows[0].mean)
        assert row.difference_interval.low <= row.difference <= row.difference_interval.high
    for row in rows:
        assert row.interval.low <= row.mean <= row.interval.high


def test_the_means_are_of_the_records(comparison):
    for row in comparison.rows:
        values = [run.record.primary.value for run in comparison.runs[row.model]]
        assert len(values) == 2
        assert row.mean == pytest.approx(sum(values) / 2)


def test_the_conditions_name_what_differs(comparison):
    assert comparison.conditions == (
        "equal data, batches, seeds and training settings; recipes differ in fusion"
    )


def test_the_text_and_the_frame_show_every_model(comparison):
    text = comparison_text(comparison)
    frame = comparison.to_frame()
    assert frame["model"].tolist() == [row.model for row in comparison.rows]
    for model in frame["model"]:
        assert f"  {model} " in text


@pytest.mark.parametrize(
    ("models", "options", "says"),
    [
        (["gated_fusion"], {}, "at least two models"),
        (["gated_fusion", "gated_fusion"], {}, "named twice"),
        (["gated_fusion", "concat_fuson"], {}, "Did you mean concat_fusion"),
        (["gated_fusion", "concat_fusion"], {"seeds": 0}, "--seeds must be at least 1"),
        (["gated_fusion", "concat_fusion"], {"dataset": "easy_vqaa"}, "Did you mean easy_vqa"),
    ],
)
def test_a_mistake_is_found_before_anything_is_trained(tmp_path, models, options, says):
    with pytest.raises(MMBenchError, match=says):
        mmbench.compare("vqa", models, out=tmp_path, **options)
    assert not list(tmp_path.iterdir())


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
    assert not [p for p in (tmp_path / "cut").rglob("*") if p.name.startswith(".")]


def table(text: str) -> list[list[str]]:
    """The table's cells less the training time, which differs from run to run."""
    lines = [line.split() for line in text.splitlines()]
    return [cells[:-2] if cells[-1] == "s" else cells for cells in lines]
