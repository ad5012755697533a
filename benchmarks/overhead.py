"""Training and inference against hand-written bare loops, on the same model and batches.

    python benchmarks/overhead.py [--groups 512] [--rounds 5] [--compile]

The bare loops are what a person would write for this model alone: the same tensors, drawn in the
same batches, decoded and tokenised beforehand, no validation, no progress, no state on disk.
Each round times mmbench's loop and the bare one in turn; the ratio of throughputs (1 is no
overhead, at least 0.95 is wanted) is the median over rounds. With --compile mmbench's own loop is
timed against itself compiled, after an epoch that compiles.
"""

from __future__ import annotations

import argparse
import contextvars
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmbench import registry
from mmbench.compiled import compiling
from mmbench.data.batches import GroupBatches
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.watch import SILENT
from mmbench.recipe import load_recipe
from mmbench.stages import Stage
from mmbench.training.loop import fit, optimizer_for
from mmbench.training.objectives.weighted import WeightedObjectives

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="gated_fusion")
    parser.add_argument("--groups", type=int, default=1024, help="images to train on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="what compiling costs and gains")
    options = parser.parse_args()
    task = registry.load("tasks", "vqa")()
    recipe = task.resolve(load_recipe(options.model, {"train.epochs": 1}), task.dataset())
    everything = task.load(task.dataset(), "train")
    groups = {s.group for s in everything}
    chosen = set(sorted(groups)[: options.groups])
    samples = [s for s in everything if s.group in chosen]
    assets = task.assets(samples)

    def new_model():
        torch.manual_seed(0)
        return task.build(recipe, assets)

    settings = recipe.train
    batches = list(GroupBatches(samples, settings.batch, seed=0).epoch(0))
    rng = np.random.default_rng(0)
    collating = new_model()
    tensors = [collating.collate_training(batch, rng) for batch in batches]

    def bare_training() -> float:
        model = new_model().train()
        optimizer = optimizer_for(model, settings)
        began = time.perf_counter()
        for batch in tensors:
            loss = model.losses(batch)["answer"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
        return time.perf_counter() - began

    def our_training(prefetch: bool | None = None, model=None) -> float:
        model = model or new_model()
        stage = Stage(name="task", objective="task")
        with tempfile.TemporaryDirectory() as folder:
            trained = fit(
                model,
                WeightedObjectives(stage, model, settings),
                samples,
                settings,
                lambda: 0.0,
                seed=0,
                device=CPU,
                folder=Path(folder),
                resume=False,
                watcher=SILENT,
                prefetch=prefetch,
            )
        return trained.seconds

    model = new_model().eval()
    test = task.load(task.dataset(), "test")
    queries = test.queries
    answering = [model.collate(batch) for batch in GroupBatches(test, settings.batch).epoch()]

    def bare_inference() -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for batch in answering:
                model.answer(batch)
        return time.perf_counter() - began

    def our_inference() -> float:
        began = time.perf_counter()
        list(ModelPredictor(model, CPU, settings.batch).predict(queries))
        return time.perf_counter() - began

    print(
        f"{options.model} on easy_vqa, {torch.get_num_threads()} threads, {options.rounds} rounds"
    )
    if options.compile:
        plain, other = new_model(), new_model()
        uncompiled = contextvars.copy_context()
        with compiling(True, CPU):
            predictors = [
                context.run(ModelPredictor, model, CPU, settings.batch)
                for context, model in ((uncompiled, plain), (contextvars.copy_context(), other))
            ]
            compared(
                "training",
                lambda: uncompiled.run(our_training, True, plain),
                lambda: our_training(True, other),
                options.rounds,
            )
            compared(
                "answering", *(partial(seconds_of, p, queries) for p in predictors), options.rounds
            )
        return
    for name, size, bare, ours in (
        ("training", len(samples), bare_training, partial(our_training, True)),
        ("  in turn", len(samples), bare_training, partial(our_training, False)),
        ("inference", len(test), bare_inference, our_inference),
    ):
        bare(), ours()  # warm-up
        pairs = [(bare(), ours()) for _ in range(options.rounds)]
        ratio = statistics.median(b / o for b, o in pairs)
        speeds = (size / min(seconds) for seconds in zip(*pairs, strict=True))
        print("{:<12}  bare {:>7,.0f}  mmbench {:>7,.0f} samples/s".format(name, *speeds), end="")
        print(f"  ratio {ratio:.3f}")


def seconds_of(predictor: ModelPredictor, queries) -> float:
    began = time.perf_counter()
    list(predictor.predict(queries))
    return time.perf_counter() - began


def compared(what: str, plain, compiled, rounds: int) -> None:
    plain()
    first = compiled()
    pairs = [(plain(), compiled()) for _ in range(rounds)]
    ratio = statistics.median(one / other for one, other in pairs)
    fastest = [min(seconds) for seconds in zip(*pairs, strict=True)]
    print("{:<10} plain {:.2f} s, compiled {:.2f} s".format(what, *fastest), end="")
    print(f" ({first:.1f} s the first time), speed {ratio:.3f} of plain's")


if __name__ == "__main__":
    main()
