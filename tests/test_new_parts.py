"""`mmbench new` writes packages that install, keep their contract, and work."""

import subprocess
import sys

import pytest

from mmbench.errors import MMBenchError
from mmbench.templates import write_package
from tests.conftest import command_line, environment

KINDS = ("fusion", "encoder", "decoder", "metric", "objective", "dataset", "task")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A package of each kind, called `my_<kind>`, and the folder that pip installs them in."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    folders = [write_package(kind, f"my_{kind}", source) for kind in KINDS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, *folders], check=True, capture_output=True)
    return source, target


def call(target, cwd, *arguments):
    return subprocess.run(
        command_line(*arguments),
        cwd=cwd,
        env=environment(target),
        capture_output=True,
        text=True,
    )


@pytest.mark.whole
def test_their_own_tests_pass(packages):
    source, target = packages
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", source]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(source / f"my_{k}" / "tests" for k in KINDS)],
        cwd=source,
        env=environment(target),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(KINDS) + 2} passed" in done.stdout  # a metric's value, a task's dataset


@pytest.mark.whole
def test_the_example_recipes_dataset_and_metric_work_together(packages, tmp_path):
    _, target = packages
    on_mine = "--task vqa --dataset my_dataset"
    for where, model in (
        (on_mine, "my_fusion_fusion"),
        (on_mine, "my_objective_objective"),
        ("--task my_task", "my_task_model"),
    ):
        options = f"{where} --model {model} --train --set train.epochs=1 --set width=16 --quiet"
        done = call(target, tmp_path, "run", *options.split())
        assert done.returncode == 0, (model, done.stderr)
        assert "accuracy" in done.stdout
    done = call(target, tmp_path, "list", "metrics")
    assert "my_metric" in done.stdout


def test_pictures_are_counted_and_other_files_named(mmbench, tmp_path):
    line = mmbench("new", "dataset", "mine", "--out", str(tmp_path)).stdout.splitlines()[0]
    assert "mine.yaml" in line
    assert line.endswith("and 52 pictures")


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("fusoin", "mine", "cannot write a package of 'fusoin'. Did you mean fusion"),
        ("fusion", "gated", "there is a fusion gated"),
        ("fusion", "late_mean", "there is a late fusion late_mean"),
        ("fusion", "../mine", "cannot be a part's name"),
        ("fusion", "class", "cannot be a part's name"),
        ("task", "easy_vqa", "there is a dataset easy_vqa"),
        ("metric", "tasks", "mmbench_tasks is mmbench's own"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(tmp_path, kind, name, says):
    with pytest.raises(MMBenchError, match=says):
        write_package(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(MMBenchError, match="is there: choose another name"):
        write_package("fusion", "mine", tmp_path)
    assert not list((tmp_path / "mine").iterdir())
