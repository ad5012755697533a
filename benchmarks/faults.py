"""Kills, full disks, equal runs at once and Ctrl-C, as they happen to a training, and what held.

    python benchmarks/faults.py [--seed 0] [--only SIGTERM]

Every trial runs `mmbench` as a user does, on 100 images of easy-VQA, in a folder that is removed
afterwards. It prints a line a trial; exit code 1 if anything did not hold. Eight minutes at most.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import easy_vqa

DATASET = """
task: vqa
summary: the first images of easy-VQA
homepage: https://github.com/vzhou842/easy-VQA
licence: MIT
citation: see easy_vqa
source: {package: few_images, install: none}
layout: {reader: json_table, columns: {text: 0, target: 1, image: 2}}
splits:
  train: {table: train/questions.json, images: "train/images/{image}.png"}
  validation: {of: train, hold_out: 0.2}
  test: {table: test/questions.json, images: "test/images/{image}.png"}
image_size: 64
"""
EPOCHS = 12
KILLS = 8
STUDY_KILLS = 10
PATIENCE = 2.0  # seconds from a signal to the end
COMPARED = ("weights.safetensors", "predictions.parquet")
CAPTIONS = 3000  # to score: the Java programs take some seconds for them

Trial = Callable[[], str]


class Held(Exception):
    """What did not hold."""


class Trials:
    """The trials, in a folder of their own.

    Args:
        folder: empty.
        seed: of the times at which processes are killed.
        only: a part of the names of the trials to run, besides the first.
    """

    def __init__(self, folder: Path, seed: int, only: str) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.dataset = _dataset(folder)
        self.other = folder / "other.yaml"
        self.other.write_text(DATASET.replace("hold_out: 0.2", "hold_out: 0.4"))
        _captions(folder)
        self.only = only
        self.failed = 0
        self.whole: dict[str, str] = {}
        self.seconds = 0.0

    def try_out(self, name: str, trial: Trial) -> None:
        """Run a trial, if its name is asked for, and print what it says or what did not hold."""
        if self.whole and self.only not in name:
            return
        began = time.perf_counter()
        try:
            says = trial()
        except Held as error:
            self.failed += 1
            says = f"DID NOT HOLD: {error}"
        print(f"{name:<44} {says}  ({time.perf_counter() - began:.0f} s)", flush=True)

    def train(self, out: str, *more: str, limit: int | None = None) -> subprocess.Popen[str]:
        """A training that writes to the folder `out`, in a process group of its own.

        Args:
            more: further options.
            limit: the most bytes that a file may have, as on a full disk.
        """
        options = ["--task", "vqa", "--model", "concat_fusion", "--dataset", str(self.dataset)]
        options += ["--train", "--set", f"train.epochs={EPOCHS}", "--out", out]
        return self.start("run", *options, *more, limit=limit)

    def start(self, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
        """A command, in a process group of its own."""

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        paths = [str(self.folder), os.environ.get("PYTHONPATH", "")]
        own = {"PYTHONPATH": os.pathsep.join(paths), "MMBENCH_CACHE": str(self.folder / "cache")}
        return subprocess.Popen(
            [sys.executable, "-c", "from mmbench.cli import main; main()", *arguments],
            cwd=self.folder,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,
        )

    def record(self, out: str) -> Path:
        """The one record in `out`, whole."""
        found = list((self.folder / out).rglob("run.json"))
        _hold(len(found) == 1, f"{len(found)} records")
        folder = found[0].parent
        for name, expected in json.loads(found[0].read_text())["files"].items():
            content = (folder / name).read_bytes()
            _hold(hashlib.sha256(content).hexdigest() == expected, f"{name} is not whole")
        return folder

    def uninterrupted(self) -> str:
        """The training that all others are compared with."""
        began = time.perf_counter()
        _end(self.train("whole"), 0)
        self.seconds = time.perf_counter() - began
        self.whole = self.files("whole")
        return f"a record, in {self.seconds:.1f} s"

    def files(self, out: str) -> dict[str, str]:
        """The hashes of the files that must be equal to the byte."""
        files = json.loads((self.record(out) / "run.json").read_text())["files"]
        return {name: files[name] for name in COMPARED}

    def finished(self, out: str) -> str:
        """Let the same command end what was cut off, and compare."""
        _, said = _end(self.train(out), 0)
        _hold(self.files(out) == self.whole, "the result is another than without interruption")
        left = [p.name for p in (self.folder / out).rglob(".*") if p.name != ".lock"]
        _hold(not left, f"left behind: {left}")
        after = [line.rsplit(" ", 1)[1] for line in said.splitlines() if "goes on after" in line]
        return f"went on after epoch {after[0].strip()}" if after else "began anew"

    def killed(self, out: str, forced: bool = False) -> str:
        """SIGKILL at a random time; the same command then gives the same bytes."""
        if forced:
            shutil.copytree(self.folder / "whole", self.folder / out)
        process = self.train(out, *(["--force"] if forced else []))
        if self.random.random() < 0.5:
            after = self.random.uniform(0.1, 1.0) * self.seconds
            when = f"after {after:.1f} s"
            _wait(process, after)
        else:
            when = f"in epoch {self.random.randint(2, EPOCHS)}"
            _wait_for(process, f"epoch {int(when.split()[-1]) - 1}/")
            _wait(process, self.random.uniform(0, 0.2))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if forced:
            shown = self.start("report", out)
            text, _ = _end(shown, 0)
            _hold("Concatenation" in text, "the earlier record is gone")
            _hold(self.files(out) == self.whole, "the earlier record was harmed")
            return f"{when}: the earlier record is whole"
        return f"{when}: {self.finished(out)}, to the same bytes"

    def study(self, out: str) -> subprocess.Popen[str]:
        """A comparison on two datasets, of two models, references and two seeds."""
        options = ["--task", "vqa", "--dataset", f"{self.dataset},{self.other}", "--seeds", "2"]
        options += ["--models", "concat_fusion,sum_fusion", "--set", "train.epochs=3"]
        return self.start("compare", *options, "--out", out)

    def study_killed(self) -> str:
        """A study killed again and again: the same tables, no run lost or done twice."""
        began = time.perf_counter()
        whole, _ = _end(self.study("study_whole"), 0)
        seconds = time.perf_counter() - began
        records: dict[Path, bytes] = {}
        kills, out = 0, self.folder / "study_killed"
        while kills < STUDY_KILLS:
            process = self.study("study_killed")
            _wait(process, self.random.uniform(0.1, 0.5) * seconds)
            ended = process.poll() is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            for path, content in records.items():
                _hold(path.exists() and path.read_bytes() == content, f"{path} was done twice")
            records = {path: path.read_bytes() for path in out.rglob("run.json")}
            if ended:
                break
        text, _ = _end(self.study("study_killed"), 0)
        for path, content in records.items():
            _hold(path.read_bytes() == content, f"{path} was done twice")
        lines = zip(_less_times(text), _less_times(whole), strict=False)
        other = next((f"{a}, not {b}" for a, b in lines if a != b), "")
        _hold(not other, f"the tables are others: {other}")
        found = {p.relative_to(out) for p in out.rglob("run.json")}
        same = self.folder / "study_whole"
        _hold(found == {p.relative_to(same) for p in same.rglob("run.json")}, "other records")
        return f"{kills} kills of a study of {seconds:.0f} s: the same tables, {len(found)} records"

    def full_disk(self) -> str:
        """Files may not grow: one line, exit code 2; with room the same command ends it."""
        says = []
        for limit in (2_000, 1_700_000):
            _, said = _end(self.train("full", "--quiet", limit=limit), 2)
            _hold(said.startswith("mmbench: cannot write"), said)
            _hold(said.count("\n") == 1, said)
            _hold(not list((self.folder / "full").rglob("run.json")), "half a record")
            says.append(f"{limit:,} bytes")
        return f"a line at {', '.join(says)}; then {self.finished('full')}, to the same bytes"

    def full_disk_forced(self) -> str:
        """A record that cannot be replaced stays."""
        shutil.copytree(self.folder / "whole", self.folder / "kept")
        _end(self.train("kept", "--force", "--quiet", limit=200_000), 2)
        _hold(self.files("kept") == self.whole, "the earlier record was harmed")
        return "the earlier record is whole"

    def three_at_once(self) -> str:
        """One trains, the others wait and report its record as reused."""
        runs = [self.train("three") for _ in range(3)]
        ends = [_end(run, 0) for run in runs]
        reused = sum("--force runs it again" in out for out, _ in ends)
        waited = sum("waiting for it" in said for _, said in ends)
        _hold(reused == 2, f"{reused} of 3 reused the record")
        _hold(self.files("three") == self.whole, "the record is another")
        return f"one record, reused by {reused}, of which {waited} waited"

    def waits_for_the_killed(self) -> str:
        """The lock of a process ends with it: another goes on with its training."""
        first = self.train("killed_owner")
        _wait_for(first, "epoch 2/")
        second = self.train("killed_owner")
        _wait_for(second, "waiting for it")
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        _, said = _end(second, 0)
        _hold("goes on after epoch" in said, said)
        _hold(self.files("killed_owner") == self.whole, "the record is another")
        return "the second went on with its training, to the same bytes"

    def stopped(self, number: signal.Signals, out: str) -> str:
        """Ctrl-C or SIGTERM in training: a line, and the same command goes on."""
        process = self.train(out)
        _wait_for(process, f"epoch {EPOCHS // 2}/")
        took, said = _stop(process, number)
        _hold("the same command goes on" in said, said)
        return f"{took:.1f} s, a line; {self.finished(out)}, to the same bytes"

    def stopped_in_captions(self, number: signal.Signals) -> str:
        """Ctrl-C at four times of the caption metrics: a line, no Java left."""
        longest = 0.0
        began = time.perf_counter()
        _end(self._score_captions(), 0)
        whole = time.perf_counter() - began
        for share in (0.05, 0.3, 0.5, 0.75):
            process = self._score_captions()
            _wait(process, share * whole)
            took, _ = _stop(process, number)
            longest = max(longest, took)
        return f"at 4 times of {whole:.1f} s, at most {longest:.1f} s"

    def _score_captions(self) -> subprocess.Popen[str]:
        return self.start(
            *("score", "--task", "captioning", "--out", "captions"),
            *("--predictions", "predictions.jsonl", "--references", "references.jsonl"),
        )


def _dataset(folder: Path) -> Path:
    source = Path(easy_vqa.__file__).parent / "data"
    for split, images in (("train", 100), ("test", 30)):
        target = folder / "few_images" / split
        (target / "images").mkdir(parents=True)
        rows = json.loads((source / split / "questions.json").read_text())
        (target / "questions.json").write_text(json.dumps([r for r in rows if r[2] < images]))
        for image in range(images):
            shutil.copy(source / split / "images" / f"{image}.png", target / "images")
    (folder / "few_images" / "__init__.py").write_text("")
    path = folder / "few.yaml"
    path.write_text(DATASET)
    return path


def _captions(folder: Path) -> None:
    words = ["a", "man", "dog", "cat", "runs", "sits", "red", "ball", "car", "near", "tree"]
    drawn = random.Random(0)

    def text() -> str:
        return " ".join(drawn.choices(words, k=10))

    rows = range(CAPTIONS)
    given = [json.dumps({"id": str(i), "prediction": text()}) for i in rows]
    right = [json.dumps({"id": str(i), "target": [text() for _ in range(5)]}) for i in rows]
    (folder / "predictions.jsonl").write_text("\n".join(given))
    (folder / "references.jsonl").write_text("\n".join(right))


def _less_times(text: str) -> list[list[str]]:
    """The cells of a comparison's tables, less what trainings took."""
    lines = [line.split() for line in text.splitlines()]
    return [cells[:-2] if cells and cells[-1] == "s" else cells for cells in lines]


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Held(otherwise.strip().replace("\n", " / ")[-400:])


def _end(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    """What a process printed, once it ended with an exit code; no traceback."""
    out, said = process.communicate()
    _hold(process.returncode == code, f"exit code {process.returncode}: {said}")
    _hold("Traceback" not in said, said)
    return out, said


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait so long, or until it ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read what it says until the words come."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise Held(f"it ended before it said {words!r}")


def _stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Seconds from a signal to all its group to its end, and what it said: a line, nothing left."""
    if process.poll() is not None:
        raise Held(f"it ended before the signal: {process.communicate()[1][-300:]}")
    began = time.perf_counter()
    os.killpg(process.pid, number)
    _, said = process.communicate()
    took = time.perf_counter() - began
    _hold(process.returncode == 128 + number, f"exit code {process.returncode}: {said}")
    _hold("mmbench: stopped" in said and "Traceback" not in said, said)
    _hold(took <= PATIENCE, f"took {took:.1f} s")
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return took, said
    raise Held("a child is left")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    parser.add_argument("--only", default="", help="trials whose names contain this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trials = Trials(Path(name), options.seed, options.only)
        trials.try_out("uninterrupted", trials.uninterrupted)
        if trials.failed:
            sys.exit(1)
        for number in range(KILLS):
            out = f"killed_{number}"
            trials.try_out(f"SIGKILL {number + 1}", lambda out=out: trials.killed(out))
        for number in range(2):
            out = f"forced_{number}"
            trials.try_out(
                f"SIGKILL with --force {number + 1}", lambda out=out: trials.killed(out, True)
            )
        trials.try_out("a study is killed", trials.study_killed)
        trials.try_out("full disk", trials.full_disk)
        trials.try_out("full disk with --force", trials.full_disk_forced)
        trials.try_out("three equal trainings at once", trials.three_at_once)
        trials.try_out("the one that others wait for is killed", trials.waits_for_the_killed)
        for signal_ in (signal.SIGINT, signal.SIGTERM):
            says = signal_.name
            trials.try_out(
                f"{says} in training", lambda s=signal_: trials.stopped(s, f"stopped_{s}")
            )
            trials.try_out(
                f"{says} in caption metrics", lambda s=signal_: trials.stopped_in_captions(s)
            )
    print(f"{trials.failed} trials did not hold" if trials.failed else "all held")
    sys.exit(1 if trials.failed else 0)


if __name__ == "__main__":
    main()
