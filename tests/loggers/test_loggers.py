"""Loggers are told what `log.jsonl` says: real runs, read back by each logger's own library.

What is not installed is skipped: `pip install mmbench[mlflow,tensorboard,trackio,wandb]`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import mmbench as package
from mmbench import registry
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.logged import LoggedWatch, scores_of_records, values_of_entry
from mmbench.experiments.watch import Watch
from mmbench.loggers.base import Logger
from tests.experiments.test_training_state import SHORT, StopsIn
from tests.loggers.stored import READERS, libraries

every_logger = pytest.mark.parametrize("name", registry.names("loggers"))


@pytest.fixture(autouse=True)
def _stores_here(tmp_path, monkeypatch):
    """Each library keeps what it is told below the test's folder, and asks no server."""
    for name in ("MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if (trackio := sys.modules.get("trackio.sqlite_storage")) is not None:
        monkeypatch.setattr(trackio, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


@pytest.fixture
def train(mini, tmp_path):
    def call(logger, watch=None, **overrides):
        out = tmp_path / "out"
        request = {"dataset": mini, "out": out, "train": True, "overrides": SHORT | overrides}
        watch = LoggedWatch(watch or StopsIn(), logger, out)
        return package.run("vqa", "question_only", watch=watch, **request)

    return call


def log_of(result):
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


@every_logger
def test_a_run_is_stored_with_its_settings_epochs_and_scores_and_a_reused_one_is_not(
    train, tmp_path, name, capfd
):
    libraries(name)
    result = train(name)
    train(name)
    (told,) = READERS[name](tmp_path / "out")
    assert told.name == result.path.relative_to(tmp_path / "out").as_posix()
    assert (told.seed, told.lr) == (0, pytest.approx(result.record.recipe["train"]["lr"]))
    assert list(told.epochs) == [1, 2, 3]
    for entry in log_of(result):
        assert told.epochs[entry["epoch"]] == pytest.approx(values_of_entry(entry), rel=1e-6)
    assert told.scores == pytest.approx({"test/accuracy": result.value}, rel=1e-6)
    assert told.outcome == "finished"
    assert capfd.readouterr().out == ""  # which is for the record, under --json


@every_logger
def test_a_training_that_was_cut_off_says_so_and_goes_on_at_its_epoch(train, tmp_path, name):
    libraries(name)
    with pytest.raises(Interrupted):
        train(name, StopsIn(3))
    (cut,) = READERS[name](tmp_path / "out")
    assert (list(cut.epochs), cut.scores, cut.outcome) == ([1, 2], {}, "stopped")
    train(name)
    runs = READERS[name](tmp_path / "out")
    assert {run.name for run in runs} == {cut.name}
    assert [step for run in runs for step in run.epochs] == [1, 2, 3]
    assert runs[-1].outcome == "finished"
    assert len(runs) == (2 if name == "wandb" else 1)


class Breaks(StopsIn):
    """Has a bug in the middle of the second epoch."""

    def stepped(self, loss, samples, steps=1):
        if self.finished == 1:
            raise RuntimeError("a bug")


@every_logger
def test_a_training_that_fails_says_so(train, tmp_path, name):
    libraries(name)
    with pytest.raises(RuntimeError, match="a bug"):
        train(name, Breaks())
    (told,) = READERS[name](tmp_path / "out")
    assert (list(told.epochs), told.scores, told.outcome) == ([1], {}, "failed")


ENTRY = {"loss": 1.0, "lr": 0.1, "validation": 0.5, "samples_per_second": 1.0}
SETTINGS = {"seed": 0, "recipe": {"train": {"lr": 0.1}}}


@every_logger
def test_runs_side_by_side_have_one_each(tmp_path, name):
    libraries(name)
    first = LoggedWatch(Watch(), name, tmp_path)
    watches = [first, first.beside()]
    for seed, watch in enumerate(watches):
        watch.began("mine", seed)
        watch.will_record(tmp_path / f"vqa/mini/mine/0/seed-{seed}", SETTINGS | {"seed": seed})
        watch.started(2, 1, 0)
    for epoch in (1, 2):
        for seed, watch in enumerate(watches):
            watch.finished_epoch(ENTRY | {"epoch": epoch, "loss": float(seed)})
    for watch in watches:
        watch.ended("stopped")
    runs = READERS[name](tmp_path)
    assert sorted((run.name, run.seed) for run in runs) == [
        ("vqa/mini/mine/0/seed-0", 0),
        ("vqa/mini/mine/0/seed-1", 1),
    ]
    for run in runs:
        assert {step: row["loss"] for step, row in run.epochs.items()} == {1: run.seed, 2: run.seed}


@every_logger
def test_stages_of_a_run_are_told_apart_and_steps_go_on(tmp_path, name):
    libraries(name)
    watch = LoggedWatch(Watch(), name, tmp_path)
    watch.began("mine", 0)
    watch.will_record(tmp_path / "vqa/mini/mine/0/seed-0", SETTINGS)
    for stage in ("image", "task"):
        watch.began(f"mine {stage}", 0)
        watch.started(2, 1, 0)
        for epoch in (1, 2):
            watch.finished_epoch(ENTRY | {"epoch": epoch, "chosen_by": "accuracy"})
    watch.ended("stopped")
    (run,) = READERS[name](tmp_path)
    stages = {step: {key.partition("/")[0] for key in row} for step, row in run.epochs.items()}
    assert stages == {1: {"image"}, 2: {"image"}, 3: {"task"}, 4: {"task"}}
    assert "task/validation/accuracy" in run.epochs[4]


def test_a_run_that_is_begun_anew_is_shown_without_what_it_told_before(tmp_path):
    watch = LoggedWatch(Watch(), "tensorboard", tmp_path)
    for epochs in (3, 2):
        watch.began("mine", 0)
        watch.will_record(tmp_path / "vqa/mini/mine/0/seed-0", SETTINGS)
        watch.started(epochs, 1, 0)
        for epoch in range(1, epochs + 1):
            watch.finished_epoch(ENTRY | {"epoch": epoch})
        watch.ended("stopped")
    (run,) = READERS["tensorboard"](tmp_path)
    assert list(run.epochs) == [1, 2]


NO_ONE_THERE = {
    "mlflow": {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    },
    "wandb": {"WANDB_MODE": "online", "WANDB_API_KEY": "", "HOME": "/nonexistent"},
}


@pytest.mark.parametrize(("name", "says"), [("mlflow", "127.0.0.1"), ("wandb", "log in|login")])
def test_a_logger_that_cannot_begin_is_a_line_before_anything_is_trained(
    mini, mmbench, monkeypatch, tmp_path, name, says
):
    libraries(name)
    for variable, value in NO_ONE_THERE[name].items():
        monkeypatch.setenv(variable, value)
    run = ("run", "--task", "vqa", "--model", "question_only", "--train", "--dataset", mini)
    done = mmbench(*run, "--log", name, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert f"the logger {name} cannot begin" in last
    assert re.search(says, last)
    assert "epoch 1" not in done.stderr
    assert not list(tmp_path.rglob("run.json"))


class Fails(Logger):
    """A plug-in whose server goes away after the first epoch."""

    errors = (ConnectionError,)

    def __init__(self, out):
        self.told = []

    def begin(self, name, settings, epoch):
        self.told.append("begin")

    def log(self, values, step):
        self.told.append(step)
        if step == 2:
            raise ConnectionError("the server is gone")

    def end(self, outcome, scores, step):
        self.told.append(outcome)


def test_scores_of_several_tasks_go_by_the_task():
    entries = [
        SimpleNamespace(name="accuracy", value=0.5, category=None),
        SimpleNamespace(name="accuracy", value=0.7, category="yes/no"),
    ]
    vqa, captioning = (
        SimpleNamespace(task=task, split="test", metrics=entries) for task in ("vqa", "captioning")
    )
    assert scores_of_records([vqa]) == {"test/accuracy": 0.5}
    assert scores_of_records([vqa, captioning]) == {
        "vqa/test/accuracy": 0.5,
        "captioning/test/accuracy": 0.5,
    }


def test_a_logger_that_fails_later_is_said_and_training_goes_on(train, monkeypatch):
    made = []
    monkeypatch.setattr(registry, "load", lambda *_: lambda out: made.append(Fails(out)) or made[0])
    watch = StopsIn()
    watched = LoggedWatch(watch, "fails", Path())
    monkeypatch.undo()
    watched.began("mine", 0)
    watched.started(3, 1, 0)
    for epoch in (1, 2, 3):
        watched.finished_epoch(ENTRY | {"epoch": epoch})
    watched.ended("finished")
    assert made[0].told == ["begin", 1, 2]
    (line,) = watch.lines
    assert "logger fails" in line
    assert "the server is gone" in line


@every_logger
def test_a_package_that_is_absent_is_a_line_that_says_how_to_install_it(
    monkeypatch, tmp_path, name
):
    package = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MMBenchError, match=rf"mmbench\[{name}\]") as error:
        LoggedWatch(StopsIn(), name, tmp_path)
    assert "\n" not in str(error.value)


def test_a_logger_that_there_is_not_is_named(tmp_path):
    with pytest.raises(MMBenchError, match="Did you mean tensorboard"):
        LoggedWatch(StopsIn(), "tensorbord", tmp_path)
