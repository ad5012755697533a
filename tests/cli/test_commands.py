"""The commands, run as a user runs them; those that need no process of their own, in this one."""

import json
import os
import re
import resource
import subprocess
import sys

import pandas as pd
import pytest

from tests.conftest import ROOT, command_line, environment

FIRST = ["run", "--task", "vqa", "--model", "gated_fusion"]


@pytest.fixture(scope="module")
def first_run(mini_folder, tmp_path_factory):
    """`mmbench run --task vqa --model gated_fusion` in an empty folder."""
    folder = tmp_path_factory.mktemp("first")
    done = subprocess.run(
        command_line(*FIRST),
        cwd=folder,
        env=environment(mini_folder),
        capture_output=True,
        text=True,
    )
    return folder, done


def test_run_prints_score_interval_signature_and_record(first_run):
    folder, done = first_run
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gated_fusion on vqa/easy_vqa, test split: 9,673 samples")
    name, value, *interval = lines[1].split()[:4]
    assert name == "accuracy"
    assert 99.5 < float(value) <= 100
    assert " ".join(interval).startswith("[99.")
    assert "  signature   accuracy|match:exact|normalise:none|v:1" in lines
    record = folder / next(line.split()[1] for line in lines if line.startswith("  record"))
    assert len(pd.read_parquet(record / "predictions.parquet")) == 9673
    assert json.loads((record / "run.json").read_text())["weights"]["source"] == "shipped"


def test_it_is_what_the_readme_shows_first(first_run):
    text = (ROOT / "README.md").read_text()
    command, shown = re.search(r"\$ mmbench (run[^\n]*)\n(.*?)```", text, re.DOTALL).groups()
    assert command.split() == FIRST
    said, expected = first_run[1].stdout.splitlines(), shown.splitlines()
    assert [line for line in said if "  cost" not in line] == [
        line for line in expected if "  cost" not in line
    ]


def test_run_again_reads_the_record(first_run):
    folder, done = first_run
    again = subprocess.run(
        command_line(*FIRST),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert again.stdout.startswith(done.stdout)
    assert "--force runs it again" in again.stdout


def test_show_of_a_record_prints_what_run_printed(first_run):
    folder, done = first_run
    record = next(folder.rglob("run.json")).parent.relative_to(folder)
    shown = subprocess.run(
        command_line("show", str(record)),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert shown.stdout == done.stdout


def test_report_of_the_run(first_run):
    folder, _ = first_run
    done = subprocess.run(
        command_line("report", "results"), cwd=folder, env=environment(), capture_output=True
    )
    assert b"| Gated (shipped weights) | 461k | 1 | 99." in done.stdout


def test_json_is_the_record(mmbench, mini_folder):
    arguments = ["run", "--task", "vqa", "--model", "majority", "--json", "--quiet", "--dataset"]
    done = mmbench(*arguments, str(mini_folder / "mini.yaml"))
    value = json.loads(done.stdout)
    assert value["model"] == "majority"
    assert value["weights"]["source"] == "none"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("tasks", "vqa"),
        ("datasets", "easy_vqa"),
        ("models", "gated_fusion"),
        ("encoders", "bag_of_words"),
        ("fusions", "attention"),
        ("decoders", "classifier"),
        ("metrics", "accuracy"),
    ],
)
def test_list_and_show_know_every_kind(command, what, name):
    listed = command("list", what)
    assert listed.returncode == 0
    line = next(line for line in listed.stdout.splitlines() if line.split()[0] == name)
    assert len(line.split()) > 3
    shown = command("show", name)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split()[1].rstrip(":") == name


def test_show_dataset_gives_licence_citation_and_splits(command):
    text = command("show", "easy_vqa").stdout
    for says in ("MIT", "@misc{zhou2019easyvqa", "test: 9,673 questions, 1,000 groups"):
        assert says in text


def test_show_dataset_gives_its_media_and_the_categories_of_its_samples(command):
    text = command("show", "interactions_image").stdout
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    rows = {line[0]: line[1] for line in lines if len(line) == 2}
    assert rows["media"] == "image"
    assert sorted(rows["categories"].split(", ")) == [
        *("redundant", "synergy", "unique_image", "unique_text")
    ]
    assert "test: 3,072 questions, 768 groups" in text


def test_show_model_gives_the_parameters_by_part(mmbench):
    text = mmbench("show", "gated_fusion", "--task", "vqa").stdout
    assert "461,229 (encoders.text 102,784, encoders.image 241,184, fusion 98,816" in text


RUN = ("run", "--task", "vqa", "--model")
COMPARE = ("compare", "--task", "vqa", "--models", "concat_fusion,gated_fusion")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--task", "vqq", "--model", "gated_fusion"), "no task called 'vqq'. Did you mean"),
        ((*RUN, "gated_fuson"), "no model called 'gated_fuson'. Did you mean gated_fusion?"),
        ((*RUN, "gated_fusion", "--dataset", "easyvqa"), "Did you mean easy_vqa?"),
        ((*RUN, "gated_fusion", "--set", "train.epoch=1"), "Did you mean train.epochs?"),
        ((*RUN, "gated_fusion", "--limit", "0"), "--limit must be at least 1, got 0"),
        ((*RUN, "gated_fusion", "--limit", "x"), "should be a valid integer"),
        ((*RUN, "gated_fusion", "--seed", "1"), "Train seed 1 with --train"),
        ((*RUN, "gated_fusion", "--split", "tst"), "Did you mean test?"),
        ((*RUN, "majority", "--device", "cuda:99"), "no device 'cuda:99' here"),
        ((*RUN, "none.yaml"), "no model file at none.yaml"),
        ((*RUN, "majority", "--out", "/proc/none"), "cannot write to /proc/none"),
        (("run",), "missing option --task"),
        (("run", "--task", "generation", "--model", "majority"), "generation asks for images"),
        (("run", "--task", "retrieval", "--model", "majority"), "retrieval asks for"),
        ((*RUN, "gated_fusion", "--train", "--set", f"width=1{'0' * 30}"), "width"),
        (("show", "accuracy", "--task", "nope"), "no task called 'nope'"),
        (("show", "accuracy", "--task", "vqa"), "drop --task"),
        (("show", "vqa", "--dataset", "easy_vqa"), "drop --dataset"),
        (("show", "easy_vqa", "--task", "retrieval"), "easy_vqa is for the task vqa"),
        (("compare", "--task", "vqa", "--models", "gated_fusion"), "at least two models"),
        (("compare", "--task", "vqa"), "missing option --models"),
        (("compare", "none.yaml"), "none.yaml: cannot be read"),
        ((*COMPARE, "--seeds", "0"), "--seeds must be at least 1, got 0"),
        ((*COMPARE, "--seeds", "1,x"), "--seeds must be a number of seeds"),
        ((*COMPARE, "--budget", "parms"), "--budget must be 'as-is', 'params' or 'flops'"),
        ((*COMPARE, "--tune", "-1"), "--tune must be at least 0, got -1"),
        ((*COMPARE, "--jobs", "0"), "--jobs must be at least 1, got 0"),
        ((*COMPARE, "--metrics", "acuracy"), "Did you mean accuracy?"),
        (("report", "nowhere"), "no such path: nowhere"),
        (("list", "model"), "Did you mean models?"),
        (("show", "gatd"), "nothing is called 'gatd'. Did you mean gated"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, tmp_path, arguments, says):
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.startswith("mmbench: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_where_the_results_should_be(command, tmp_path):
    (tmp_path / "results").write_text("mine")
    done = command(*RUN, "majority")
    assert done.returncode == 2
    assert "cannot write to results: " in done.stderr
    assert (tmp_path / "results").read_text() == "mine"


def test_a_full_disk_leaves_earlier_records_and_nothing_else(
    mmbench, command, mini_folder, tmp_path
):
    dataset = ("--dataset", str(mini_folder / "mini.yaml"))
    assert command(*RUN, "majority", *dataset).returncode == 0
    before = {p: p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()}

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = mmbench(
        *RUN, "majority", *dataset, "--seed", "1", "--quiet", preexec_fn=small_files_only
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("mmbench: cannot write to ")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    after = {p: p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()}
    assert after == before


def test_a_closed_pipe_is_no_error():
    shell = f"{sys.executable} -c 'from mmbench.cli import main; main()' list models | head -1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_study_file_is_planned_run_and_kept_and_a_dry_run_writes_nothing(
    command, mini_folder, tmp_path
):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("predictor: majority\n")
    (tmp_path / "mine.yaml").write_text(
        f"task: vqa\ndataset: {mini_folder / 'mini.yaml'}\nmodels: [a.yaml, b.yaml]\nseeds: 2\n"
        "references: [majority]\n"
    )
    before = set(tmp_path.iterdir())
    plan = command("compare", "mine.yaml", "--seeds", "1", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "2 runs: 2 new, 0 recorded before" in plan.stdout
    assert "no estimate" in plan.stdout
    assert set(tmp_path.iterdir()) == before
    done = command("compare", "mine.yaml", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "none of 2 runs were recorded before" in done.stderr
    assert "a and this run of b scored the same on every sample" in done.stdout.replace(
        "this run of a", "a"
    )
    kept = tmp_path / "results" / "studies" / "mine.yaml"
    again = command("compare", str(kept))
    assert again.stdout == done.stdout
    assert "all of 2 runs were recorded before" in again.stderr
    assert len(list((tmp_path / "results" / "studies").iterdir())) == 1
    other = command("compare", "mine.yaml", "--seeds", "1", "--baseline", "b")
    assert "baseline" in other.stdout
    assert len(list((tmp_path / "results" / "studies").iterdir())) == 2
