"""Runs side by side in real processes: the same bytes, each failure its own, nothing left."""

import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

import mmbench
from mmbench.data.cache import cache_folder
from mmbench.errors import MMBenchError
from mmbench.experiments import execution
from mmbench.experiments.logged import LoggedWatch
from mmbench.experiments.watch import Watch
from mmbench.reports.comparison import comparison_text
from tests.conftest import command_line, environment
from tests.loggers.stored import of_tensorboard
from tests.tasks.generation.conftest import FEW_SCENES
from tests.tasks.generation.test_generation import TINY

RECIPE = "encoders: {{image: null, text: bag_of_words}}\ntrain: {{epochs: {epochs}, lr: {lr}}}\n"

BREAKS = """
import os, signal
from mmbench.zoo.fusion.concat import ConcatFusion

class Bug(ConcatFusion):
    "Raises while it trains, where no part is called."
    def forward(self, query, *arguments, **options):
        def fails(gradient):
            raise KeyError("a bug")
        if self.training and query.tokens.requires_grad and len(query.tokens) > 1:
            query.tokens.register_hook(fails)
        return super().forward(query, *arguments, **options)

class Killed(ConcatFusion):
    "Is killed while it trains, as by a system without memory."
    calls = 0
    def forward(self, *arguments, **options):
        if self.training:
            Killed.calls += 1
            if Killed.calls > 20:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(*arguments, **options)
"""


@pytest.fixture
def recipes(tmp_path):
    """`recipes(name=lr)`: the paths of recipes that train within a second."""

    def write(epochs=2, **rates):
        for name, lr in rates.items():
            (tmp_path / f"{name}.yaml").write_text(RECIPE.format(epochs=epochs, lr=lr))
        return [str(tmp_path / f"{name}.yaml") for name in rates]

    return write


def files_of(folder):
    """The bytes of what runs left, by place, but of `run.json` and the log, which hold times."""
    kept = ("weights.safetensors", "predictions.parquet", "statistics.npz")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.name in kept
    }


def test_side_by_side_gives_the_bytes_of_one_after_the_other(mini, recipes, tmp_path, monkeypatch):
    models = recipes(a="1.0e-3", b="2.0e-3")

    class Note(Watch):
        def __init__(self):
            self.began_runs, self.losses, self.times_done = [], [], 0

        def began(self, model, seed):
            self.began_runs.append((model, seed))

        def stepped(self, loss, samples, steps=1):
            self.losses.append(loss())

        def done(self):
            self.times_done += 1

    watch, told = Note(), []
    together = mmbench.compare(
        *("vqa", models),
        seeds=2,
        dataset=mini,
        threads=1,
        jobs=2,
        out=tmp_path / "together",
        watch=LoggedWatch(watch, "tensorboard", tmp_path / "together"),
        told=lambda model, seed, result: told.append((model, seed)),
    )
    in_turn = mmbench.compare(
        "vqa", models, seeds=2, dataset=mini, threads=1, out=tmp_path / "in_turn"
    )
    assert files_of(tmp_path / "together") == files_of(tmp_path / "in_turn")
    assert len(files_of(tmp_path / "together")) == 2 * 2 * 3
    every = {(model, seed) for model in ("a", "b") for seed in (0, 1)}
    assert set(watch.began_runs) == set(told) == every
    assert all(loss > 0 for loss in watch.losses)
    assert watch.times_done >= len(every)
    logged = {run.name: run for run in of_tensorboard(tmp_path / "together")}
    for run in (run for runs in together.runs.values() for run in runs):
        told_of = logged.pop(run.path.relative_to(tmp_path / "together").as_posix())
        assert (told_of.seed, told_of.outcome, len(told_of.epochs)) == (
            run.record.seed,
            "finished",
            2,
        )
        assert told_of.scores["test/accuracy"] == pytest.approx(run.value)
    assert not logged
    assert [run.record.seed for run in together.runs["a"]] == [0, 1]
    assert together.to_frame()["mean"].tolist() == in_turn.to_frame()["mean"].tolist()
    record = together.runs["a"][0].record
    assert (record.environment.threads, record.identity.threads) == (1, 1)
    assert any("--jobs 2" in note for note in record.notes)
    # What has a record starts no process.
    monkeypatch.setattr(execution.subprocess, "Popen", lambda *_, **__: pytest.fail("a process"))
    again = mmbench.compare(
        "vqa", models, seeds=2, dataset=mini, threads=1, jobs=2, out=tmp_path / "in_turn"
    )
    assert all(run.reused for runs in again.runs.values() for run in runs)


def test_a_cores_share_is_asked_for_unless_it_is_what_a_run_takes_anyway(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for module in (execution, sys.modules["mmbench.computing"]):
        monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert [execution.threads_beside(jobs) for jobs in (1, 2, 3, 100)] == [None, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [execution.threads_beside(jobs) for jobs in (1, 2, 4, 8)] == [None, None, None, 1]


@pytest.fixture
def breaking(tmp_path, monkeypatch):
    """Recipes whose fusions are someone's, and break: `bug` and `killed`."""
    about = tmp_path / "plug" / "someones-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: someones\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[mmbench.fusions]\nbug = someones_breaks:Bug\nkilled = someones_breaks:Killed\n"
    )
    (about.parent / "someones_breaks.py").write_text(BREAKS)
    monkeypatch.syspath_prepend(str(about.parent))
    mmbench.registry._entries.cache_clear()
    for name in ("bug", "killed"):
        text = f"fusion: {name}\nwidth: 16\ntrain: {{epochs: 4, batch: 8}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    yield [str(tmp_path / f"{name}.yaml") for name in ("bug", "killed")]
    mmbench.registry._entries.cache_clear()


def test_refused_crashed_and_killed_runs_are_said_and_all_others_end(
    mini, recipes, breaking, tmp_path
):
    models = [*breaking, *recipes(wild="1.0e+38", good="1.0e-3"), "majority"]
    notices = []
    found = mmbench.compare(
        *("vqa", models),
        seeds=1,
        dataset=mini,
        jobs=2,
        out=tmp_path / "out",
        allow_unchecked=True,
        notice=notices.append,
    )
    assert {estimate.model for estimate in found.estimates} == {"good", "majority"}
    reasons = {model: why for (model, _), why in found.failed.items()}
    assert set(reasons) == {"wild", "bug", "killed"}
    assert "the loss became" in reasons["wild"]
    assert "KeyError 'a bug'" in reasons["bug"]
    traceback = tmp_path / "out" / ".crashes" / "bug-seed-0.txt"
    assert str(traceback) in reasons["bug"]
    assert 'KeyError("a bug")' in traceback.read_text()
    assert "SIGKILL" in reasons["killed"]
    assert "memory" in reasons["killed"]
    assert "the same command goes on" in reasons["killed"]
    for model, why in reasons.items():
        assert "\n" not in why
        assert f"{model} seed 0 failed: {why}" in notices
        assert f"{model} seed 0: {why}" in comparison_text(found)


def test_where_all_runs_fail_each_is_named(mini, recipes, tmp_path):
    with pytest.raises(MMBenchError, match=r"wild seed 0: the loss .*wilder seed 0: the loss"):
        mmbench.compare(
            "vqa",
            recipes(wild="1.0e+38", wilder="2.0e+38"),
            seeds=1,
            dataset=mini,
            out=tmp_path / "out",
        )


@pytest.mark.whole
def test_runs_beside_each_other_train_what_they_share_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "few_scenes.yaml").write_text(FEW_SCENES)
    began = []

    class Note(Watch):
        def began(self, model, seed):
            began.append(model)

    mmbench.compare(
        *("generation", ["gated_fusion", "concat_fusion"]),
        seeds=1,
        dataset=str(tmp_path / "few_scenes.yaml"),
        overrides=TINY,
        jobs=2,
        out=tmp_path / "out",
        watch=Note(),
    )
    assert len([name for name in began if name.endswith("autoencoder")]) == 1
    assert len([name for name in began if name.endswith("task")]) == 2
    assert len(list((cache_folder() / "parts").glob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    ("number", "code"),
    [
        # One training that is told to stop is in tests/cli/test_stopping.py.
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.whole),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.whole),  # as Ctrl-C, but to one alone
        (signal.SIGKILL, -9),
    ],
)
def test_a_signal_ends_all_processes_and_what_was_trained_is_kept(
    mini_folder, recipes, tmp_path, number, code
):
    models = recipes(epochs=2000, a="1.0e-3", b="2.0e-3")
    arguments = ("compare", "--task", "vqa", "--models", ",".join(models), "--jobs", "2")
    process = subprocess.Popen(
        command_line(*arguments, "--dataset", str(mini_folder / "mini.yaml"), "--seeds", "1"),
        cwd=tmp_path,
        env=environment(mini_folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    training = set()
    for line in process.stderr:
        training |= {name for name in ("a", "b") if line.startswith(f"{name} seed 0 epoch 2/")}
        if len(training) == 2:
            # To the process alone, as by `kill`; to all, as by Ctrl-C at a terminal.
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            break
    said = process.stderr.read()
    assert process.wait() == code
    assert "Traceback" not in said
    if number == signal.SIGKILL:  # they end when they notice, and their locks with them
        for lock in tmp_path.rglob(".seed-0.lock"):
            FileLock(lock).acquire(timeout=60)
    else:
        assert "the same command goes on" in said
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert len(list(tmp_path.rglob("state.safetensors"))) == 2
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("jobs", ["0", "x"])
def test_a_number_of_jobs_that_is_none_is_one_line(mmbench, jobs):
    done = mmbench("compare", "--task", "vqa", "--models", "majority,a", "--jobs", jobs)
    assert done.returncode == 2
    assert "--jobs" in done.stderr
    assert done.stderr.count("\n") == 1
