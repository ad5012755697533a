"""Trainings that were cut off, and equal runs at once."""

import json
import re
import shutil
import subprocess

import pytest

import mmbench
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.watch import Watch
from mmbench.training.state import STATE_FILE
from tests.conftest import command_line, environment

SHORT = {"train.epochs": 3, "train.batch": 32, "width": 16}


class StopsIn(Watch):
    """Presses Ctrl-C in the middle of an epoch; remembers what it was told."""

    def __init__(self, epoch: int | None = None) -> None:
        self.epoch = epoch
        self.finished = 0
        self.lines: list[str] = []
        self.began_after: list[int] = []

    def says(self, line):
        self.lines.append(line)

    def started(self, epochs, steps, epoch):
        self.began_after.append(epoch)
        self.finished = epoch

    def finished_epoch(self, entry):
        self.finished = entry["epoch"]

    def stepped(self, loss, samples, steps=1):
        if self.finished + 1 == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture
def train(mini, tmp_path):
    def call(watch, out="out", **options):
        options = {"overrides": SHORT, "train": True} | options
        out = tmp_path / out
        return mmbench.run("vqa", "concat_fusion", dataset=mini, out=out, watch=watch, **options)

    return call


def epochs(result) -> list[int]:
    lines = (result.path / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def left(folder) -> list[str]:
    return [p.name for p in folder.rglob(".*") if p.name != ".lock"]


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"resume": True, "force": True}])
def test_a_training_that_was_cut_off_goes_on_and_ends_as_it_would_have(train, tmp_path, options):
    whole = train(Watch(), "whole")
    with pytest.raises(Interrupted, match="the same command goes on"):
        train(StopsIn(3))
    assert not list((tmp_path / "out").rglob("run.json"))
    again = StopsIn()
    result = train(again, **options)
    assert again.began_after == [2]
    assert again.lines == []
    assert epochs(result) == [1, 2, 3]
    for name in ("weights.safetensors", "predictions.parquet"):
        assert result.record.files[name] == whole.record.files[name]
    assert left(tmp_path) == []


def test_force_begins_anew_and_says_so(train, tmp_path):
    with pytest.raises(Interrupted):
        train(StopsIn(3))
    watch = StopsIn()
    assert epochs(train(watch, force=True)) == [1, 2, 3]
    assert watch.began_after == [0]
    assert len(watch.lines) == 1
    assert "--force" in watch.lines[0]
    assert "dropped" in watch.lines[0]


def test_stopped_in_the_first_epoch_nothing_is_kept(train, tmp_path):
    with pytest.raises(Interrupted) as error:
        train(StopsIn(1))
    assert "goes on" not in str(error.value)
    assert [p.name for p in (tmp_path / "out").rglob("*")] == [".lock"]


def test_resume_with_nothing_there_says_so_and_begins(train):
    watch = StopsIn()
    assert epochs(train(watch, resume=True)) == [1, 2, 3]
    assert len(watch.lines) == 1
    assert "nothing to go on with" in watch.lines[0]


@pytest.mark.parametrize(("cut", "how"), [(True, "was cut off"), (False, "is whole")])
def test_resume_with_more_epochs_says_what_there_is_and_why_it_cannot_go_on(train, cut, how):
    if cut:
        with pytest.raises(Interrupted):
            train(StopsIn(2))
    else:
        train(Watch())
    watch = StopsIn()
    result = train(watch, resume=True, overrides=SHORT | {"train.epochs": 4})
    assert epochs(result) == [1, 2, 3, 4]
    assert len(watch.lines) == 1
    assert "train.epochs=3 (here 4)" in watch.lines[0]
    assert how in watch.lines[0]
    assert "cannot go on with other settings" in watch.lines[0]


def test_what_a_killed_process_left_in_the_state_is_removed(train, tmp_path):
    with pytest.raises(Interrupted):
        train(StopsIn(2))
    state = next(tmp_path.rglob(STATE_FILE))
    shutil.copy(state, state.parent / ".state-half")
    with pytest.raises(Interrupted):
        train(StopsIn(3))
    assert [p.name for p in state.parent.iterdir() if p.name.startswith(".state")] == []


def test_a_model_that_cannot_fit_is_a_line(train, tmp_path):
    with pytest.raises(MMBenchError, match=r"memory|too large for this machine") as error:
        train(Watch(), overrides=SHORT | {"width": 300_000})
    assert "\n" not in str(error.value)
    assert "Lower width" in str(error.value)
    assert left(tmp_path) == []


def test_an_option_that_no_tensor_can_have_as_its_size_is_a_line(train):
    with pytest.raises(MMBenchError, match="layers must be at most"):
        train(Watch(), overrides=SHORT | {"encoders.text": {"name": "gru", "layers": 10**30}})


@pytest.mark.whole
def test_equal_trainings_at_once_end_with_one_record_that_the_others_reuse(mini_folder, tmp_path):
    arguments = ["run", "--task", "vqa", "--model", "concat_fusion", "--train", "--json"]
    arguments += ["--dataset", str(mini_folder / "mini.yaml"), "--quiet"]
    for key, value in SHORT.items():
        arguments += ["--set", f"{key}={value}"]
    runs = [
        subprocess.Popen(
            command_line(*arguments),
            cwd=tmp_path,
            env=environment(mini_folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ends = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], ends
    assert len({json.loads(out)["created"] for out, _ in ends}) == 1
    said = [error for _, error in ends if error]
    assert all(re.fullmatch(r"mmbench: process \d+ on .* waiting for it\n", e) for e in said)
    assert len(list(tmp_path.rglob("run.json"))) == 1
    assert left(tmp_path) == []
