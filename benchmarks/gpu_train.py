"""Sections of the GPU check: every task trained as a user would, beside the CPU's scores."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gpu_setup import ROOT, Job, caption_data, few, quick_overrides, say, tokenise_without_java

import mmbench
from mmbench import registry
from mmbench.experiments.watch import Watch
from mmbench.recipe import load_recipe


class _Said(Watch):
    """Prints every epoch."""

    def __init__(self, title: str) -> None:
        self._title = title

    def began(self, model: str, seed: int) -> None:
        say(f"{self._title}: {model} seed {seed}")

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        say(
            f"{self._title}: epoch {entry['epoch']} loss {entry['loss']:.4f} validation "
            f"{entry['validation']:.4f} {entry['train_seconds']:.2f} s"
        )


def prepare(job: Job) -> dict[str, Any]:
    """Make the generated data, which later sections share, each kind in a process of its own."""
    wanted = [("vqa", "easy_vqa", "train"), ("vqa", "easy_vqa", "test")]
    kinds = [("retrieval", "scenes"), ("vqa", "scenes"), ("generation", "scenes")]
    kinds += [] if job.quick else [("retrieval", "scenes_video"), ("retrieval", "scenes_audio")]
    splits = ["validation", "test"] if job.quick else ["train", "validation", "test"]
    wanted += [(task, dataset, split) for split in splits for task, dataset in kinds]
    began = time.perf_counter()
    workers = max(2, (os.cpu_count() or 2) - 2)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {"/".join(one): pool.submit(_make, *one) for one in wanted}
        found: dict[str, Any] = {name: future.result() for name, future in waiting.items()}
    found["all"] = time.perf_counter() - began
    say(f"data made: {found}")
    return found


def _make(name: str, dataset: str, split: str) -> float:
    began = time.perf_counter()
    task = registry.load("tasks", name)()
    spec = task.dataset(dataset)
    task.load(task.adapt(spec, task.resolve(load_recipe("gated_fusion"), spec)), split)
    return time.perf_counter() - began


def easy(job: Job) -> dict[str, Any]:
    """easy-VQA trained from nothing by each fusion: at least 99.8 in at most 15 s."""
    found: dict[str, Any] = {}
    for model in ("gated_fusion", "attention_fusion", "concat_fusion"):
        if found and (job.quick or job.left() < 30):
            break
        found[model] = _train(
            job, "vqa", "easy_vqa", model, {"train.epochs": 1} if job.quick else {}
        )
        job.write(found)
    return found


def train_vqa(job: Job) -> dict[str, Any]:
    """The questions on scenes."""
    return _scenes(job, "vqa", "scenes")


def train_captioning(job: Job) -> dict[str, Any]:
    """Captions of scenes."""
    tokenise_without_java()
    return _scenes(job, "captioning", caption_data())


def train_retrieval(job: Job) -> dict[str, Any]:
    """Retrieval of scenes."""
    return _scenes(job, "retrieval", "scenes")


def train_generation(job: Job) -> dict[str, Any]:
    """Generation of scenes, the autoencoder trained too."""
    return _scenes(job, "generation", "scenes")


def _scenes(job: Job, task: str, dataset: str) -> dict[str, Any]:
    if job.quick:
        return _train(job, task, few(), "gated_fusion", quick_overrides(task))
    return _train(job, task, dataset, "gated_fusion", {})


def _train(
    job: Job, task: str, dataset: str, model: str, overrides: dict[str, Any]
) -> dict[str, Any]:
    """A run with a record, as `mmbench run --train` makes it."""
    title = f"train {task} {model}"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = mmbench.run(
            task,
            model,
            dataset=dataset,
            train=True,
            overrides=overrides,
            device=str(job.device),
            out=Path(out),
            watch=_Said(title),
        )
    record = result.record
    first = record.metrics[0]
    assert record.training is not None
    name = Path(dataset).stem if dataset.endswith(".yaml") else dataset
    found = {
        "metric": first.name,
        "score": first.value,
        "interval": [first.interval.low, first.interval.high] if first.interval else None,
        "reference": None if job.quick else _reference(task, name, model, first.name),
        "training_seconds": record.training.seconds,
        "whole_seconds": time.perf_counter() - began,
        "training_samples_per_second": record.training.samples_per_second,
        "answers_per_second": record.inference.samples_per_second,
        "peak_gpu_mb": record.peak_gpu_memory_mb,
        "environment": record.environment.model_dump(
            include={"device_name", "precision", "cuda", "cudnn", "threads"}
        ),
        "failed": record.failed,
    }
    say(f"{title}: {found}")
    return found


def _reference(task: str, dataset: str, model: str, metric: str) -> dict[str, Any] | None:
    """What the CPU's reference records say: score and interval of each seed."""
    if "captions" in dataset:
        dataset = "scenes"
    found = {}
    folder = ROOT / "results/reference" / task / dataset / model
    for file in sorted(folder.glob("*/seed-*/run.json")):
        record = json.loads(file.read_text())
        for entry in record["metrics"]:
            if entry["name"] == metric and entry["category"] is None:
                interval = entry["interval"] or {}
                ends = [interval.get("low"), interval.get("high")]
                about = "" if record["weights"]["source"] == "trained" else " (shipped)"
                key = f"{file.parts[-3]}/{file.parts[-2]}{about}"
                found[key] = {"score": entry["value"], "interval": ends, "limit": record["limit"]}
    return found or None


SECTIONS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "prepare": prepare,
    "easy": easy,
    "train_vqa": train_vqa,
    "train_captioning": train_captioning,
    "train_retrieval": train_retrieval,
    "train_generation": train_generation,
}
