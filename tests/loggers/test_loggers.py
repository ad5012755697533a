"""Loggers are told what `log.jsonl` says. TensorBoard is read back; others are stood in for."""

import json
import sys
from types import SimpleNamespace

import pytest

import mmbench
from mmbench import registry
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.logged import LoggedWatch, values_of_entry
from tests.experiments.test_training_state import SHORT, StopsIn


class StandIn:
    """Takes the calls that wandb, MLflow's client and Trackio take, and keeps them."""

    def __init__(self):
        self.calls = []
        self.info = SimpleNamespace(run_id="run 1")

    def init(self, **options):
        self.calls.append(("begin", options["name"]))
        return self

    def log(self, values, step):
        self.calls.append(("log", step, dict(values)))

    def finish(self):
        self.calls.append(("end",))

    def MlflowClient(self):
        return self

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return "experiment 1"

    def create_run(self, experiment, run_name):
        assert experiment == "experiment 1"
        self.calls.append(("begin", run_name))
        return self

    def log_param(self, run, key, value):
        assert (run, len(value) <= 500) == ("run 1", True)

    def log_metric(self, run, key, value, step):
        assert run == "run 1"
        if self.calls[-1][:2] != ("log", step):
            self.calls.append(("log", step, {}))
        self.calls[-1][2][key] = value

    def set_terminated(self, run):
        self.calls.append(("end",))


@pytest.fixture
def train(mini, tmp_path):
    def call(logger, watch=None, **overrides):
        out = tmp_path / "out"
        watch = LoggedWatch(watch or StopsIn(), logger, out, {"model": "question_only"})
        request = {"dataset": mini, "out": out, "train": True, "overrides": SHORT | overrides}
        return mmbench.run("vqa", "question_only", watch=watch, **request)

    return call


def log_of(result):
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["mlflow", "trackio", "wandb"])
def test_each_epoch_is_told_as_log_jsonl_has_it_and_a_run_that_is_reused_is_not(
    train, monkeypatch, tmp_path, name
):
    told = StandIn()
    monkeypatch.setitem(sys.modules, name, told)
    result = train(name)
    log = log_of(result)
    epochs = [("log", entry["epoch"], values_of_entry(entry)) for entry in log]
    place = result.path.relative_to(tmp_path / "out").as_posix()
    assert told.calls == [("begin", place), *epochs, ("end",)]
    train(name)
    assert len(told.calls) == 5


def test_a_training_that_was_cut_off_goes_on_at_its_epoch(train, monkeypatch):
    told = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", told)
    with pytest.raises(Interrupted):
        train("wandb", StopsIn(3))
    assert [call[0] for call in told.calls] == ["begin", "log", "log", "end"]
    train("wandb")
    assert [call[1] for call in told.calls if call[0] == "log"] == [1, 2, 3]


def test_stages_of_a_run_are_told_apart_and_steps_go_on(monkeypatch, tmp_path):
    told = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", told)
    watch = LoggedWatch(StopsIn(), "wandb", tmp_path, {})
    entry = {"loss": 1.0, "lr": 0.1, "validation": 0.5, "samples_per_second": 1.0}
    watch.began("mine", 0)
    for stage in ("image", "task"):
        watch.began(f"mine {stage}", 0)
        watch.started(2, 1, 0)
        for epoch in (1, 2):
            watch.finished_epoch(entry | {"epoch": epoch, "chosen_by": "accuracy"})
    watch.done()
    logs = [call for call in told.calls if call[0] == "log"]
    assert [step for _, step, _ in logs] == [1, 2, 3, 4]
    assert [("image/loss" in v, "task/validation/accuracy" in v) for _, _, v in logs] == [
        *[(True, False)] * 2,
        *[(False, True)] * 2,
    ]


def test_tensorboard_holds_what_log_jsonl_says(train, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = train("tensorboard")
    out = tmp_path / "out"
    folder = out / "tensorboard" / result.path.relative_to(out)
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    for entry in log_of(result):
        for name, value in values_of_entry(entry).items():
            steps = {event.step: event.value for event in found.Scalars(name)}
            assert steps[entry["epoch"]] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", registry.names("loggers"))
def test_a_package_that_is_absent_is_a_line_that_says_how_to_install_it(
    monkeypatch, tmp_path, name
):
    package = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MMBenchError, match=rf"mmbench\[{name}\]") as error:
        LoggedWatch(StopsIn(), name, tmp_path, {})
    assert "\n" not in str(error.value)


def test_a_logger_that_there_is_not_is_named(tmp_path):
    with pytest.raises(MMBenchError, match="Did you mean tensorboard"):
        LoggedWatch(StopsIn(), "tensorbord", tmp_path, {})
