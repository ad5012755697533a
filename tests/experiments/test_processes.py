"""Runs by several processes: the same answers as by one, and the end of all at the end of one."""

import json
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO

import pytest

from mmbench.training import STATE_FILE
from tests.conftest import ROOT, environment
from tests.processes import launched, path_of, whole
from tests.tiny_clip import save_clip
from tests.tiny_llava import save_llava
from tests.training.conftest import SMALL

SCRIPT = path_of("tests.experiments.answer_here")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`runs(count, also)`: what so many processes printed, and the files of answers by name; also
    those of checkpoints of transformers.
    """
    folder = tmp_path_factory.mktemp("answered")
    (folder / "few_scenes.yaml").write_text(SMALL)
    (folder / "clip").mkdir()

    @cache
    def models():
        return save_llava(folder / "llava"), save_clip(folder / "clip")

    @cache
    def call(count, also=False):
        out = folder / f"{count}-{also}"
        # Answers of checkpoints are kept there, and none is to be found.
        own = {"MMBENCH_CACHE": str(folder / f"cache-{count}")} if also else {}
        checkpoints = models() if also else ()
        arguments = [str(each) for each in (folder / "few_scenes.yaml", out, *checkpoints)]
        if count == 1:
            with pytest.MonkeyPatch.context() as here, redirect_stdout(StringIO()) as said:
                for name, value in own.items():
                    here.setenv(name, value)
                here.setattr(sys, "argv", [str(SCRIPT), *arguments])
                runpy.run_path(str(SCRIPT), run_name="__main__")
            printed = said.getvalue()
        else:
            printed = whole(launched(count, SCRIPT, *arguments, own=own))
        files = out.rglob("predictions.parquet")
        return printed, {f.relative_to(out): f.read_bytes() for f in files}

    return call


@pytest.mark.parametrize(
    ("count", "also"),
    [
        (2, False),
        pytest.param(2, True, marks=pytest.mark.whole),
        pytest.param(3, True, marks=pytest.mark.whole),
    ],
)
def test_answers_are_the_same_bytes_from_any_number_of_processes(runs, count, also):
    _, alone = runs(1, also)
    printed, several = runs(count, also)
    assert several == alone
    if count == 2:  # which process was asked for how many, where the model may be asked by parts
        lines = ["python:InBatches 2 [9, 11]", "python:OneAfterTheOther 2 [20, 0]"]
        assert printed.splitlines() == lines
    assert len(alone) == (5 if also else 3)


def test_what_several_processes_cannot_do_is_one_line(tmp_path):
    command = ["-m", "mmbench", "run", "--task", "vqa", "--train", "--device", "cpu"]
    done = launched(2, *command, "--model", "gated_fusion", "--robustness", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("mmbench: ")]
    assert done.returncode != 0
    assert "--robustness is not shared out among 2 processes" in lines[0]
    assert "Traceback" not in done.stderr.partition("torch/distributed/elastic")[0]


def test_a_comparison_is_not_started_by_a_launcher(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mmbench", "compare", "--task", "vqa", "--models", "a,b"],
        env=environment(ROOT) | {"WORLD_SIZE": "2", "RANK": "0"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "only `mmbench run`" in done.stderr
    assert "--engine ray" in done.stderr


def test_a_process_that_is_killed_ends_all_and_keeps_what_was_trained(tmp_path):
    (tmp_path / "few_scenes.yaml").write_text(SMALL)
    script = path_of("tests.training.fit_here")
    slow = json.dumps({"train.epochs": 10_000, "train.batch": 5})
    done = launched(2, script, tmp_path / "few_scenes.yaml", "vqa", tmp_path / "log", slow, "2")
    assert done.returncode != 0
    assert "another of the 2 processes of this run has ended" in done.stderr
    assert (tmp_path / "state" / STATE_FILE).exists()
    assert not (tmp_path / "log").exists()


@pytest.mark.whole
def test_one_training_by_two_processes_is_a_run_with_the_losses_of_one(tmp_path):
    (tmp_path / "few_scenes.yaml").write_text(SMALL)
    (tmp_path / "little.yaml").write_text(
        "fusion: gated\nwidth: 16\nencoders: {text: bag_of_words}\n"
        "train: {epochs: 2, batch: 16, optimizer: sgd, lr: 0.01}\n"
    )
    command = ["-m", "mmbench", "run", "--task", "vqa", "--model", tmp_path / "little.yaml"]
    command += ["--dataset", tmp_path / "few_scenes.yaml", "--train", "--device", "cpu"]
    found = {}
    for count in (1, 2):
        out = tmp_path / str(count)
        printed = whole(launched(count, *command, "--out", out))
        assert printed.count("accuracy|match") == 1
        [folder] = [file.parent for file in out.rglob("run.json")]
        record = json.loads((folder / "run.json").read_text())
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        found[count] = record, [entry["loss"] for entry in log]
    (one, losses), (two, of_two) = found[1], found[2]
    assert of_two == pytest.approx(losses, rel=1e-4)
    assert two["environment"]["processes"] == two["identity"]["processes"] == 2
    assert one["environment"]["processes"] == 1
    assert one["identity"]["processes"] is None
    again = whole(launched(2, *command, "--out", tmp_path / "2"))
    assert "from the record of" in again
