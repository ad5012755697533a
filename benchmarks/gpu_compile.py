"""A section of the GPU check: what `--compile` costs and gains, per task."""

from __future__ import annotations

import contextvars
import statistics
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from gpu_setup import Job, built, objectives_of, say
from gpu_speed import timed_data

from mmbench.compiled import compiling
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.watch import SILENT
from mmbench.training.loop import fit

ROUNDS = 3


def compile_section(job: Job) -> dict[str, Any]:
    """Training and answering, plain and compiled in turn, after an epoch that compiles."""
    found: dict[str, Any] = {}
    for task in ("vqa", "generation", "captioning", "retrieval"):
        if job.left() < 30:
            found[task] = {"open": "no time was left"}
            continue
        try:
            found[task] = _compare(job, task)
        except Exception:
            found[task] = {"error": traceback.format_exc()}
        say(f"compile {task}: {found[task]}")
        job.write(found)
    return found


def _compare(job: Job, name: str) -> dict[str, float]:
    dataset, overrides = timed_data(job, name)
    task, recipe, model, samples = built(name, dataset, overrides)
    samples = samples.limited(None if job.quick else 3200)
    model.to(job.device)
    objectives = objectives_of(model, recipe, job.device)
    objectives.prepare(model, samples)
    settings = recipe.train.model_copy(update={"epochs": 1, "neighbours": 1})
    queries = task.load(task.adapt(task.dataset(dataset), recipe), "test").queries[:500]
    plain = contextvars.copy_context()

    def train() -> float:
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
        return float(how.log[0]["train_seconds"])

    def answer() -> float:
        predictor = ModelPredictor(model, job.device, 128)
        job.wait()
        began = time.perf_counter()
        list(predictor.predict(queries))
        job.wait()
        return time.perf_counter() - began

    found: dict[str, float] = {}
    with compiling(True, job.device):
        for what, call in (("training", train), ("answering", answer)):
            plain.run(call)
            found[f"{what}: compiling"] = call()
            pairs = [(plain.run(call), call()) for _ in range(1 if job.quick else ROUNDS)]
            found[f"{what}: plain"] = min(one for one, _ in pairs)
            found[f"{what}: compiled"] = min(other for _, other in pairs)
            found[f"{what}: speed-up"] = statistics.median(one / other for one, other in pairs)
    stats = torch._dynamo.utils.counters["stats"]
    replays = torch._dynamo.utils.counters["inductor"].get("cudagraph_skips", 0)
    return found | {"programs": stats["unique_graphs"], "not as a CUDA graph": replays}
