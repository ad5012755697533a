"""Runs on a real cluster of Ray: the same records, and whatever dies costs its own runs alone."""

import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from pandas.testing import assert_frame_equal

import mmbench
from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments import ray_engine
from mmbench.experiments.execution import outcomes
from mmbench.experiments.outcome import Failed
from mmbench.experiments.ray_engine import _carried_out, _receive, over_cluster
from mmbench.experiments.watch import SILENT
from mmbench.records.verification import verified
from mmbench.request import run_request
from mmbench.study import make_study
from tests.conftest import environment
from tests.experiments.test_execution import RECIPE, files_of

DIES = """
import os, signal
from pathlib import Path
from mmbench.zoo.fusion.concat import ConcatFusion

def kill(pid, tries):
    "A process, in the first so many calls."
    file = Path(os.environ["TRIES"])
    tried = len(file.read_text()) if file.exists() else 0
    if tried < tries:
        file.write_text("x" * (tried + 1))
        os.kill(pid, signal.SIGKILL)

class Worker(ConcatFusion):
    "Kills its process whenever it trains."
    def forward(self, *arguments, **options):
        if self.training:
            kill(os.getpid(), 99)
        return super().forward(*arguments, **options)

class Machine(ConcatFusion):
    "Kills its machine (the raylet, which started its process) once."
    def forward(self, *arguments, **options):
        if self.training:
            kill(os.getppid(), 1)
        return super().forward(*arguments, **options)
"""


@pytest.fixture
def recipes(tmp_path):
    """Recipes that train within a second, by name."""
    (tmp_path / "dies.py").write_text(DIES)
    texts = {name: RECIPE.format(epochs=1, lr=lr) for name, lr in (("a", 0.01), ("b", 0.1))}
    for name in ("Worker", "Machine"):
        texts[name] = f"fusion: 'dies:{name}'\nwidth: 8\ntrain: {{epochs: 1}}\n"
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in texts}


@pytest.fixture
def cluster(tmp_path, mini_folder, monkeypatch):
    """The address of a cluster: a head, and two machines of a core each."""
    pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRIES", str(tmp_path / "tries"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    own = environment(tmp_path, mini_folder) | {"RAY_USAGE_STATS_ENABLED": "0"}
    common = ["--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--block"]
    head = ["--head", f"--port={address.partition(':')[2]}", "--include-dashboard=false"]
    nodes = [[*head, "--num-cpus=0"], *[[f"--address={address}", "--num-cpus=1"]] * 2]
    started = []
    for node in nodes:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *node, *common]
        log = (tmp_path / f"node-{len(started)}.log").open("w")
        started.append(
            subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
        )
        _wait_for(address, len(started))
    yield address
    machines = [psutil.Process(process.pid) for process in started]
    for process in [each for one in machines for each in [one, *one.children(recursive=True)]]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for process in started:
        process.wait(30)


def _wait_for(address, count):
    """Until so many machines have joined: nothing tells."""
    code = f"import ray; ray.init('{address}', log_to_driver=False); print(len(ray.nodes()))"
    for _ in range(30):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == str(count):
            return
        time.sleep(0.5)
    raise AssertionError(done.stderr)


@pytest.mark.whole
def test_a_comparison_gives_the_records_of_one_in_turn_and_spreads_over_machines(
    cluster, recipes, mini, tmp_path
):
    asked = {"dataset": mini, "seeds": 3, "device": "cpu", "watch": SILENT}
    models = [recipes["a"], recipes["b"]]
    here = mmbench.compare("vqa", models, out=tmp_path / "here", threads=1, **asked)
    ray = {"engine": "ray", "address": cluster}
    there = mmbench.compare("vqa", models, out=tmp_path / "there", **ray, **asked)
    measured = ["training_seconds", "latency_p50", "latency_p95", "samples_per_second"]
    measured += ["peak_memory_mb", "peak_gpu_memory_mb"]
    tables = [table.to_frame().drop(columns=measured) for table in (here, there)]
    assert_frame_equal(*tables)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    notes = [n for runs in there.runs.values() for run in runs for n in run.record.notes]
    assert len({note for note in notes if "by Ray on" in note}) == 2
    again = mmbench.compare("vqa", models, out=tmp_path / "there", **ray, **asked)
    assert all(run.reused for runs in again.runs.values() for run in runs)


@pytest.mark.whole
@pytest.mark.parametrize("dies", ["Worker", "Machine"])
def test_what_dies_costs_its_own_runs_alone(cluster, recipes, mini, tmp_path, dies):
    of = {"task": "vqa", "dataset": mini, "train": True, "device": "cpu", "threads": 1}
    names = [recipes[dies], recipes["a"], recipes["b"]]
    requests = [run_request(model=name, out=tmp_path / "out", **of) for name in names]
    engine = make_study(task="vqa", models=names, engine="ray", address=cluster).carried_out_by
    found = {r.model: o for r, o in outcomes(requests, watch=SILENT, engine=engine)}
    assert not isinstance(found[recipes["a"]], Failed)
    assert not isinstance(found[recipes["b"]], Failed)
    if dies == "Worker":
        assert "died in each of 3 tries" in found[recipes[dies]].reason
        assert (tmp_path / "tries").read_text() == "xxx"
    else:
        assert verified(found[recipes[dies]].path).metrics
        assert (tmp_path / "tries").read_text() == "x"
    assert not list((tmp_path / "out").glob(".shared-*"))


def test_a_record_made_on_a_machine_that_does_not_see_the_folder_is_sent(recipes, mini, tmp_path):
    out = tmp_path / "out"
    of = {"task": "vqa", "dataset": mini, "train": True, "device": "cpu", "out": out}
    request = run_request(model=recipes["a"], **of)
    kind, place, files = _carried_out(request, ".shared-nowhere", "elsewhere")
    assert kind == "sent"
    assert not out.exists()
    _receive(out, out / place, files, SILENT)
    assert "elsewhere" in verified(out / place).notes
    assert mmbench.run(model=recipes["a"], watch=SILENT, **of).reused


def test_a_process_reads_data_once_for_all_its_tasks(recipes, mini, tmp_path, monkeypatch):
    vqa, loaded = registry.load("tasks", "vqa"), []
    load = vqa.load
    monkeypatch.setattr(
        vqa, "load", lambda self, spec, split: loaded.append(split) or load(self, spec, split)
    )
    monkeypatch.setattr(ray_engine, "_READ", {})
    of = {"task": "vqa", "dataset": mini, "train": True, "device": "cpu", "out": tmp_path}
    for seed in (0, 1):
        request = run_request(model=recipes["a"], seed=seed, **of)
        assert _carried_out(request, ".shared-nowhere", "elsewhere")[0] == "sent"
    assert sorted(loaded) == ["test", "train", "validation"]


def test_no_ray_and_no_cluster_are_a_line_each(mmbench, monkeypatch, tmp_path, recipes):
    asked = ["--task", "vqa", "--models", f"{recipes['a']},{recipes['b']}", "--no-references"]
    request = run_request(task="vqa", model=recipes["a"], train=True, out=tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MMBenchError, match=r"mmbench\[ray\]"):
        next(over_cluster([request], None, SILENT))
    for more, words in (
        (["--engine", "rai"], "--engine"),
        (["--engine", "ray", "--jobs", "2"], "--threads"),
        (["--address", "127.0.0.1:1"], "--engine ray"),
    ):
        done = mmbench("compare", *asked, *more)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_an_address_where_nothing_listens_is_a_line(recipes, tmp_path):
    pytest.importorskip("ray")
    request = run_request(task="vqa", model=recipes["a"], train=True, out=tmp_path)
    with pytest.raises(MMBenchError, match=r"answers at 127\.0\.0\.1:1: .*ray start"):
        next(over_cluster([request], "127.0.0.1:1", SILENT))
