"""Sections of the GPU check: how fast is it, and how busy is the card?"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from gpu_setup import (
    ROOT,
    Job,
    batches_of,
    built,
    few,
    objectives_of,
    python,
    quick_overrides,
    say,
)
from torch import nn

from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.watch import SILENT, Watch
from mmbench.model import move
from mmbench.training.loop import fit, optimizer_for, train_mode
from mmbench.training.objectives.weighted import moved, total

SCENES = 6400  # pictures of an epoch that is timed
WARM_STEPS = 30  # of a worker, before its clock starts


def _data(job: Job, task: str) -> tuple[str, dict[str, Any]]:
    """A dataset to time a task on, and overrides."""
    if job.quick:
        return few(), quick_overrides(task)
    if task == "vqa":
        return "easy_vqa", {}
    spec = yaml.safe_load((ROOT / "tasks/datasets/scenes.yaml").read_text())
    spec["splits"]["train"] = {"first": SCENES}
    path = Path(tempfile.gettempdir(), f"gpu_check_{os.getpid()}_some_scenes.yaml")
    path.write_text(yaml.safe_dump(spec))
    return str(path), {}


def speed(job: Job) -> dict[str, Any]:
    """Training and inference against bare loops with the same batches, which are made before."""
    found: dict[str, Any] = {}
    for task in ("vqa", "captioning", "retrieval", "generation"):
        if job.left() < 20:
            found[task] = {"open": "no time was left"}
            continue
        try:
            found[task] = _speed(job, task)
            say(f"speed {task}: {found[task]}")
        except Exception:
            found[task] = {"error": traceback.format_exc()}
            say(f"speed {task} FAILED\n{traceback.format_exc()}")
        job.write(found)
    return found


def _speed(job: Job, name: str) -> dict[str, float]:
    dataset, overrides = _data(job, name)
    task, recipe, model, samples = built(name, dataset, overrides)
    model.to(job.device)
    objectives = objectives_of(model, recipe, job.device)
    objectives.prepare(model, samples)
    # No mining: what is compared is the loop.
    settings = recipe.train.model_copy(update={"epochs": 3, "neighbours": 1})
    _reset_peak(job)
    with tempfile.TemporaryDirectory() as folder:
        how = fit(
            model,
            objectives,
            samples,
            settings,
            lambda: 0.0,
            seed=0,
            device=job.device,
            folder=Path(folder),
            resume=False,
            watcher=SILENT,
        )
    ours = statistics.median(entry["samples_per_second"] for entry in how.log[1:])
    peak = torch.cuda.max_memory_allocated() / 1e6 if job.device.type == "cuda" else 0.0
    collated = batches_of(model, objectives, samples, settings.batch, 10**9)
    batches = [moved(batch, job.device) for _, batch in collated]
    count = sum(n for n, _ in collated)
    both = nn.ModuleDict({"model": model, "objectives": objectives})
    optimizer = optimizer_for(both, settings)
    parameters = [p for p in both.parameters() if p.requires_grad]
    train_mode(both)

    def bare() -> None:
        for batch in batches:
            with torch.autocast(job.device.type, torch.bfloat16, enabled=job.device.type == "cuda"):
                loss = total(objectives.losses(model, batch))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimizer.step()

    bare_rate = count / _seconds(job, bare)
    model.eval()
    queries = task.load(task.adapt(task.dataset(dataset), recipe), "test").queries[:2000]
    if name == "generation":
        queries = queries[:500]
    queries = queries[: 16 if job.quick else None]
    predictor = ModelPredictor(model, job.device, 128)
    answering = len(queries) / _seconds(job, lambda: list(predictor.predict(queries)))
    chunks = [queries[start : start + 128] for start in range(0, len(queries), 128)]
    asked = [move(model.collate(chunk), job.device) for chunk in chunks]

    def bare_answers() -> None:
        with torch.inference_mode():
            for batch in asked:
                model.answer(batch)

    return {
        "training": ours,
        "bare": bare_rate,
        "ratio": ours / bare_rate,
        "answering": answering,
        "bare_answering": len(queries) / _seconds(job, bare_answers),
        "milliseconds_a_step": 1e3 * count / ours / len(batches),
        "peak_mb": peak,
    }


def _seconds(job: Job, call: Callable[[], Any]) -> float:
    """Seconds that a call takes, the second time."""
    call()
    job.wait()
    began = time.perf_counter()
    call()
    job.wait()
    return time.perf_counter() - began


def _reset_peak(job: Job) -> None:
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


class _Enough(Exception):
    pass


class _Clock(Watch):
    """Counts samples for so long, after a warm-up and a word from outside."""

    def __init__(self, device: torch.device, seconds: float, warm: int, ready: Any) -> None:
        self._device, self._seconds, self._warm, self._ready = device, seconds, warm, ready
        self._steps = 0
        self._began = 0.0
        self.samples = 0
        self.rate = 0.0

    def stepped(self, loss: Callable[[], float], samples: int) -> None:
        self._steps += 1
        if self._steps < self._warm:
            return
        if self._steps == self._warm:
            self._synchronize()
            self._ready()
            self._began = time.perf_counter()
            return
        self.samples += samples
        if self._steps % 16 == 0 and time.perf_counter() - self._began > self._seconds:
            self._synchronize()
            self.rate = self.samples / (time.perf_counter() - self._began)
            raise _Enough

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def worker(job: Job, seconds: float, ready: Callable[[], None]) -> float:
    """Samples per second of a training that goes on for so long."""
    dataset, overrides = _data(job, "vqa")
    _, recipe, model, samples = built("vqa", dataset, overrides)
    model.to(job.device)
    objectives = objectives_of(model, recipe, job.device)
    objectives.prepare(model, samples)
    clock = _Clock(job.device, seconds, 3 if job.quick else WARM_STEPS, ready)
    settings = recipe.train.model_copy(update={"epochs": 10_000})
    with tempfile.TemporaryDirectory() as folder, suppress(_Enough):
        fit(
            model,
            objectives,
            samples,
            settings,
            lambda: 0.0,
            seed=0,
            device=job.device,
            folder=Path(folder),
            resume=False,
            watcher=clock,
        )
    return clock.rate


def busy(job: Job) -> dict[str, Any]:
    """The share of time that the card is busy with one training, and with 4 and 8 at once."""
    found: dict[str, Any] = {}
    if job.device.type == "cuda":
        found["kernels"] = _kernel_share(job)
        say(f"busy, by the profiler, one training: {found['kernels']}")
        job.write(found)
    seconds = 1.0 if job.quick else 6.0
    for count in (1, 2) if job.quick else (1, 4, 8):
        if job.left() < 25 and not job.quick:
            found[str(count)] = {"open": "no time was left"}
            continue
        found[str(count)] = _at_once(job, count, seconds)
        alone = found["1"].get("samples_per_second", float("nan"))
        found[str(count)]["speed_up"] = found[str(count)]["samples_per_second"] / alone
        say(f"busy with {count}: {found[str(count)]}")
        job.write(found)
    return found


def _at_once(job: Job, count: int, seconds: float) -> dict[str, Any]:
    """So many equal trainings in processes of their own, timed from when all are warm."""
    threads = str(max(1, (os.cpu_count() or 1) // count // 2))
    command = [python(), str(Path(__file__).with_name("gpu_check.py")), "--worker", str(seconds)]
    command += ["--device", str(job.device), *(["--quick"] if job.quick else [])]
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads},
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            line = next(iter(process.stdout), "")
            if line.strip() != "ready":
                raise RuntimeError(f"a worker did not get ready: {line!r}")
        with _utilisation(job.device) as shares:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            rates = [float(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    return {
        "samples_per_second": sum(rates),
        "each": [round(rate) for rate in rates],
        "utilisation": statistics.mean(shares) if shares else None,
    }


@contextmanager
def _utilisation(device: torch.device) -> Iterator[list[float]]:
    """Shares of time that the card was busy, as its driver says, ten times a second."""
    shares: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            shares.append(torch.cuda.utilization() / 100)

    thread = threading.Thread(target=look)
    if device.type == "cuda":
        thread.start()
    try:
        yield shares
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()
        del shares[:5]  # the driver's window reaches back before the start


def _kernel_share(job: Job) -> dict[str, float]:
    """The share of an epoch's time in which some kernel runs, by the profiler."""
    dataset, overrides = _data(job, "vqa")
    _, recipe, model, samples = built("vqa", dataset, overrides)
    model.to(job.device)
    objectives = objectives_of(model, recipe, job.device)
    objectives.prepare(model, samples)
    once = partial(
        fit,
        model,
        objectives,
        samples,
        recipe.train.model_copy(update={"epochs": 1}),
        lambda: 0.0,
        seed=0,
        device=job.device,
        resume=False,
        watcher=SILENT,
    )
    with tempfile.TemporaryDirectory() as folder:
        once(folder=Path(folder, "warm"))
        job.wait()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            how = once(folder=Path(folder, "profiled"))
            job.wait()
    events = [
        (e.time_range.start, e.time_range.end)
        for e in profile.events() or []
        if e.device_type == torch.autograd.DeviceType.CUDA
    ]
    within = how.log[0]["train_seconds"] * 1e6
    return {"busy": _union(events) / within, "kernels": len(events), "seconds": within / 1e6}


def _union(spans: list[tuple[float, float]]) -> float:
    """How long at least one of the spans lasts.

    >>> _union([(0, 2), (1, 3), (5, 6)])
    4
    """
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered
