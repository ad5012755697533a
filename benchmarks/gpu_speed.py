"""Sections of the GPU check: how fast is it, and how busy is the card?"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from mmbench.experiments.result import load_run
from mmbench.experiments.watch import SILENT
from mmbench.model import move
from mmbench.training.loop import fit
from mmbench.training.modes import train_mode
from mmbench.training.objectives.weighted import moved, total
from mmbench.training.optimizer import optimizer_for

SCENES = 6400  # pictures of an epoch that is timed


def timed_data(job: Job, task: str) -> tuple[str, dict[str, Any]]:
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
    dataset, overrides = timed_data(job, name)
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
    model.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(both, settings)  # whose moments lie in memory as the weights do
    channels_last = count / _seconds(job, bare)
    model.to(memory_format=torch.contiguous_format).eval()
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
        "channels_last": channels_last / bare_rate,
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


def busy(job: Job) -> dict[str, Any]:
    """How busy the card is with one training, and with `compare --jobs` 1, 4 and 8."""
    found: dict[str, Any] = {}
    if job.device.type == "cuda":
        found["kernels"] = _kernel_share(job)
        say(f"busy, by the profiler, one training: {found['kernels']}")
        job.write(found)
    for count in (1, 2) if job.quick else (1, 4, 8):
        if job.left() < 25 and not job.quick:
            found[str(count)] = {"open": "no time was left"}
            continue
        found[str(count)] = _at_once(job, count)
        alone = found["1"].get("samples_per_second", float("nan"))
        found[str(count)]["speed_up"] = found[str(count)]["samples_per_second"] / alone
        say(f"busy with {count}: {found[str(count)]}")
        job.write(found)
    return found


def _at_once(job: Job, count: int) -> dict[str, Any]:
    """Eight short runs, so many at a time, as `mmbench compare` does it: start and answers too."""
    dataset, overrides = timed_data(job, "vqa")
    overrides = overrides | {"train.epochs": 1 if job.quick else 2}
    command = [python(), "-c", "from mmbench.cli import main; main()", "compare", "--quiet"]
    command += ["--task", "vqa", "--models", "concat_fusion,gated_fusion", "--dataset", dataset]
    command += ["--seeds", "1" if job.quick else "4", "--jobs", str(count)]
    command += ["--device", str(job.device)]
    for key, value in overrides.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        with _utilisation(job.device) as shares:
            subprocess.run([*command, "--out", out], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        trained = [load_run(file).record.training for file in Path(out).rglob("run.json")]
    samples = sum(entry.samples for entry in trained if entry) * overrides["train.epochs"]
    return {
        "runs": len(trained),
        "seconds": seconds,
        "samples_per_second": samples / seconds,
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
    dataset, overrides = timed_data(job, "vqa")
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
