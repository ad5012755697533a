"""Sections of the GPU check: is what a card computes right?"""

from __future__ import annotations

import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_setup import (
    ROOT,
    Job,
    built,
    few,
    objectives_of,
    own_frames,
    plan_of,
    quick_overrides,
    say,
    tokenise_without_java,
    trained,
)

from mmbench import registry
from mmbench.computing import computing_on, exact_float32
from mmbench.data.sample import SampleSet
from mmbench.errors import MMBenchError
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor, flops_per_sample
from mmbench.experiments.plan import Plan
from mmbench.experiments.run import run
from mmbench.experiments.train import ready_model
from mmbench.experiments.watch import SILENT, Watch
from mmbench.metrics.images.features import extract_features
from mmbench.model import TaskModel, move
from mmbench.recipe import FUSION_KINDS
from mmbench.training.loop import fit

CPU = torch.device("cpu")
LIMIT = {"vqa": 1000, "captioning": 200, "retrieval": 100, "generation": 100}
QUICK_LIMIT = {"vqa": 40, "captioning": 8, "retrieval": 8, "generation": 4}


def alike(job: Job) -> dict[str, Any]:
    """Shipped weights on the CPU and on the card: answers, float32 error, operations."""
    tokenise_without_java()
    found: dict[str, Any] = {}
    try:
        found["features of metrics"] = _features(job)
    except Exception:
        found["features of metrics"] = {"failure": traceback.format_exc()}
    say(f"features: {found['features of metrics']}")
    files = sorted((ROOT / "baselines/weights").rglob("*.safetensors"))
    if job.quick:
        files = [f for f in files if f.stem == "gated_fusion"]
    for file in files:
        task, dataset, model = file.parts[-3], file.parts[-2], file.stem
        name = f"{task}/{dataset}/{model}"
        if job.left() < 10:
            found[name] = {"open": "no time was left"}
            continue
        try:
            found[name] = _alike(job, task, dataset, model)
            say(f"alike {name}: {found[name]}")
        except Exception:
            found[name] = {"error": traceback.format_exc()}
            say(f"alike {name} FAILED\n{traceback.format_exc()}")
        job.write(found)
    return found


def _features(job: Job) -> dict[str, float]:
    """Image features of a metric on the CPU and on the card: the largest difference, and speed."""
    images = np.random.default_rng(0).integers(
        0, 256, (8 if job.quick else 256, 64, 64, 3), np.uint8
    )
    found, seconds = [], []
    for name in ("cpu", str(job.device)):
        with computing_on(name):
            extract_features(images[:8], "efficientnet_lite0")
            began = time.perf_counter()
            found.append(extract_features(images, "efficientnet_lite0"))
            seconds.append(time.perf_counter() - began)
    error = float(np.abs(found[0] - found[1]).max())
    return {"error": error, "seconds_cpu": seconds[0], "seconds_card": seconds[1]}


def _alike(job: Job, task: str, dataset: str, model: str) -> dict[str, Any]:
    limit = (QUICK_LIMIT if job.quick else LIMIT)[task]
    plan = plan_of(task, model, dataset, limit=limit)
    samples = plan.samples
    with exact_float32():  # as in a run
        return _compared(job, plan, samples)


def _compared(job: Job, plan: Plan, samples: SampleSet) -> dict[str, Any]:
    models = [ready_model(plan, d, 128, ROOT, SILENT)[0].eval() for d in (CPU, job.device)]
    seconds, answers = [], []
    for each, device in zip(models, (CPU, job.device), strict=True):
        began = time.perf_counter()
        values = values_of(ModelPredictor(each, device, 128), samples.queries, plan.model)
        seconds.append(time.perf_counter() - began)
        answers.append(plan.task.conclude(samples, values)[0])
    same = [_same(one, other) for one, other in zip(*answers, strict=True)]
    flops = [
        flops_per_sample(each, samples.queries, device)
        for each, device in zip(models, (CPU, job.device), strict=True)
    ]
    error = _float32_error(plan.task, models, samples[: min(len(samples), 64)], job.device)
    return {
        "answers": len(same),
        "equal": float(np.mean(same)),
        "error": error,
        "operations_cpu": flops[0],
        "operations_card": flops[1],
        "seconds_cpu": round(seconds[0], 2),
        "seconds_card": round(seconds[1], 2),
    }


def _same(one: Any, other: Any) -> bool:
    """Equal; images may differ by one level of 256, which is a rounding."""
    if isinstance(one, np.ndarray) and one.dtype == np.uint8:
        return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, tuple | list) and one and isinstance(one[0], np.ndarray):
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _float32_error(task: Any, models: list[TaskModel], samples: Any, card: torch.device) -> float:
    """The largest difference of any logit (of an embeddings' product) in float32."""
    rng = np.random.default_rng(0)
    models[0].prepare_training(samples)
    batch = models[0].collate_training(samples, rng)
    outputs: list[list[torch.Tensor]] = []
    for model, device in zip(models, (CPU, card), strict=True):
        kept: list[torch.Tensor] = []

        def keep(module: Any, _: Any, output: Any, kept: list[torch.Tensor] = kept) -> None:
            output = getattr(output, "logits", output)
            if isinstance(output, torch.Tensor) and output.is_floating_point():
                kept.append(output.detach().double().cpu())

        here = move(batch, device)
        with torch.inference_mode():
            if task.name == "retrieval":
                medium = model.medium  # type: ignore[attr-defined]
                sides = [model.encode(s, here)[0] for s in ("text", medium)]  # type: ignore[attr-defined, operator]
                kept.append((sides[0] @ sides[1].T * model.scale()).double().cpu())  # type: ignore[operator]
            else:
                hooks = [m.register_forward_hook(keep) for m in model.decoder.modules()]  # type: ignore[union-attr]
                model.losses(here)
                for hook in hooks:
                    hook.remove()
        outputs.append(kept)
    pairs = list(zip(*outputs, strict=True))
    return max(float((one - other).abs().max()) for one, other in pairs)


def _cases() -> Iterator[tuple[str, str, str, dict[str, Any], tuple[str, ...]]]:
    """What is registered, each in a model: (title, task, modality, overrides, objectives)."""
    for task in registry.names("tasks"):
        for fusion in [name for kind in FUSION_KINDS for name in registry.names(kind)]:
            yield f"fusion {fusion} in {task}", task, "image", {"fusion": fusion}, ()
        yield f"task {task}", task, "image", {}, ()
    for encoder in registry.names("encoders"):
        modality = registry.load("encoders", encoder).modality
        task = "retrieval" if modality in ("video", "audio") else "vqa"
        data = modality if modality in ("video", "audio") else "image"
        # As a whole, since options of the data's own encoder are of no other.
        yield f"encoder {encoder}", task, data, {f"encoders.{modality}": {"name": encoder}}, ()
    for decoder in registry.names("decoders"):
        for task in ("vqa", "captioning", "generation"):
            options: dict[str, Any] = {"decoder.name": decoder}
            yield f"decoder {decoder} in {task}", task, "image", options, ()
    for objective in registry.names("objectives"):
        # The encoder of texts by default reads from left to right.
        others = {"encoders.text": {"name": "bert"}} if objective == "mlm" else {}
        for task in registry.names("tasks"):
            yield f"objective {objective} in {task}", task, "image", others, (objective,)


def parts(job: Job) -> dict[str, Any]:
    """One training step of everything that is registered: finite? where does it wait?"""
    found: dict[str, Any] = {}
    data = {modality: few(modality) for modality in ("image", "video", "audio")}
    for title, task, modality, overrides, names in _cases():
        if job.left() < 5:
            found[title] = {"open": "no time was left"}
            continue
        try:
            found[title] = _part(job, task, data[modality], overrides, names)
        except MMBenchError as error:  # parts that do not go together, or a package that is absent
            found[title] = {"not here": str(error)}
        except Exception:
            found[title] = {"error": traceback.format_exc()}
            say(f"part {title} FAILED\n{traceback.format_exc()}")
        job.write(found)
    good = sum(1 for f in found.values() if f.get("finite"))
    say(f"parts: {good} of {len(found)} took finite steps")
    for title, one in found.items():
        if one.get("waits"):
            say(f"  waits in {title}: {one['waits']}")
    return found


def _part(
    job: Job, task: str, data: str, overrides: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    quick = quick_overrides(task)
    if overrides.get("decoder.name") not in (None, "image_tokens") and "decoder" in quick:
        del quick["decoder"]
    _, recipe, model, samples = built(task, data, quick | overrides)
    model.to(job.device)
    objectives = objectives_of(model, recipe, job.device, *names)
    objectives.prepare(model, samples)
    looking = _Looking(job.device)
    settings = recipe.train.model_copy(update={"epochs": 1, "neighbours": 1})
    with tempfile.TemporaryDirectory() as folder, looking:
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
            watcher=looking,
        )
    finite = all(bool(p.isfinite().all()) for p in model.parameters())
    return {"finite": finite, "loss": how.log[0]["loss"], "waits": dict(looking.places)}


class _Looking(Watch):
    """Where the processor waits for the card in the steps of an epoch but the first, how often.

    What happens once only (a codebook begins, a library starts), and the loss at the epoch's end,
    is no wait in a step.
    """

    def __init__(self, device: torch.device) -> None:
        self.places: Counter[str] = Counter()
        self._cuda = device.type == "cuda"
        self._steps = self._step = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._caught.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._shown  # type: ignore[assignment]

    def __exit__(self, *error: Any) -> None:
        self._switch("default")
        self._caught.__exit__(*error)

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        self._steps = steps

    def stepped(self, loss: Any, samples: int) -> None:
        self._step += 1
        if self._step == 1:
            self._switch("warn")
        if self._step == self._steps:
            self._switch("default")

    def _switch(self, mode: str) -> None:
        if self._cuda:
            torch.cuda.set_sync_debug_mode(mode)

    def _shown(self, message: Any, *_: Any, **__: Any) -> None:
        if "synchronizing CUDA operation" in str(message):
            self.places[own_frames(traceback.extract_stack())] += 1


def repeats(job: Job) -> dict[str, Any]:
    """Trainings repeated, with and without torch's deterministic algorithms: the same bytes?"""
    tokenise_without_java()
    found: dict[str, Any] = {}
    data = few()
    cases: list[tuple[str, str, str | None, dict[str, Any]]] = [
        (f"{task}, a few scenes", task, data, quick_overrides(task))
        for task in registry.names("tasks")
    ]
    if not job.quick:
        cases.append(("vqa/easy_vqa, 2 epochs", "vqa", None, {"train.epochs": 2}))
    for title, task, dataset, overrides in cases:
        found[title] = {}
        for deterministic in (False, True):
            try:
                torch.use_deterministic_algorithms(deterministic)
                runs = [_weights(job, task, dataset, overrides) for _ in range(2)]
                equal = all(torch.equal(runs[0][0][k], runs[1][0][k]) for k in runs[0][0])
                one = {"equal": equal, "seconds": [round(r[1], 2) for r in runs]}
            except RuntimeError as error:
                place = own_frames(traceback.extract_tb(error.__traceback__))
                one = {"error": f"{str(error).partition('. ')[0]} at {place}"}
            finally:
                torch.use_deterministic_algorithms(False)
            found[title]["deterministic" if deterministic else "as usual"] = one
            job.write(found)
        say(f"repeats of {title}: {found[title]}")
    for task in registry.names("tasks"):
        title = f"{task}, run --deterministic"
        found[title] = {"whole run": _whole_run(job, task, data)}
        say(f"{title}: {found[title]}")
        job.write(found)
    return found


def _whole_run(job: Job, task: str, data: str) -> str:
    """Whether a run that is to be repeatable can be carried out, answers and metrics too."""
    with tempfile.TemporaryDirectory() as out:
        try:
            run(
                task,
                "gated_fusion",
                dataset=data,
                train=True,
                overrides=quick_overrides(task),
                device=str(job.device),
                deterministic=True,
                out=Path(out),
            )
        except MMBenchError as error:
            return str(error)
    return "carried out"


def _weights(
    job: Job, task: str, dataset: str | None, overrides: dict[str, Any]
) -> tuple[dict[str, torch.Tensor], float]:
    _empty_parts()
    plan = plan_of(
        task, "gated_fusion", dataset, train=True, overrides=overrides, device=str(job.device)
    )
    model, how = trained(plan, job.device)
    seconds = sum(entry["train_seconds"] for entry in how.log)
    return {name: t.cpu() for name, t in model.state_dict().items()}, seconds


def _empty_parts() -> None:
    """Trained parts that are kept would be taken instead of being trained again."""
    from mmbench.data.cache import cache_folder

    for file in (cache_folder() / "parts").glob("*.safetensors"):
        file.unlink()
