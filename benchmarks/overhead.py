"""Training and inference against hand-written bare loops, on the same model and batches.

    python benchmarks/overhead.py [--groups 512] [--rounds 5] [--compile]

The bare loops are what a person would write for this model alone: the same tensors, drawn in the
same batches, decoded and tokenised beforehand, no validation, no progress, no state on disk.
They run twice: in a process of their own, as a person's script would, and in mmbench's own process,
whose memory is handed out as mmbench has it (`mmbench.computing.keep_freed_memory`), so that the
second ratio is of the loops alone. Each round times mmbench's loop and both bare ones in turn; a
ratio of throughputs (1 is no overhead, at least 0.95 is wanted) is the median over rounds. With
--compile mmbench's own loop is timed against itself compiled, after an epoch that compiles.
"""

from __future__ import annotations

import argparse
import contextvars
import statistics
import tempfile
import time
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmbench import registry
from mmbench.compiled import compiling
from mmbench.computing import keep_freed_memory
from mmbench.data.batches import GroupBatches
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.watch import SILENT
from mmbench.recipe import load_recipe
from mmbench.stages import Stage
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.optimizer import optimizer_for

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="gated_fusion")
    parser.add_argument("--groups", type=int, default=1024, help="images to train on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="what compiling costs and gains")
    options = parser.parse_args()
    if options.compile:
        compare_compiled(Loops(options))
        return
    here, there = Pipe()
    script = get_context("spawn").Process(target=serve, args=(there, options), daemon=True)
    script.start()
    keep_freed_memory()
    loops = Loops(options)

    def as_script(loop: str) -> float:
        here.send(loop)
        return here.recv()

    threads = torch.get_num_threads()
    print(f"{options.model} on easy_vqa, {threads} threads, {options.rounds} rounds")
    for name, size, bare, ours in (
        ("training", len(loops.samples), "bare_training", partial(loops.our_training, True)),
        ("  in turn", len(loops.samples), "bare_training", partial(loops.our_training, False)),
        ("inference", len(loops.queries), "bare_inference", loops.our_inference),
    ):
        ways = (partial(as_script, bare), getattr(loops, bare), ours)
        times = [[way() for way in ways] for _ in range(options.rounds + 1)][1:]  # first: warm-up
        script, same, mmbench = (size / min(seconds) for seconds in zip(*times, strict=True))
        print(
            f"{name:<12}  bare {script:>7,.0f}, with its memory {same:>7,.0f}, mmbench "
            f"{mmbench:>7,.0f} samples/s  ratio {statistics.median(a / c for a, _, c in times):.3f}"
            f", of the loops alone {statistics.median(b / c for _, b, c in times):.3f}"
        )


def serve(connection: Connection, options: argparse.Namespace) -> None:
    """Run the bare loops that are asked for, and answer how many seconds each took."""
    loops = Loops(options)
    with suppress(EOFError):  # whoever asks has ended
        while True:
            connection.send(getattr(loops, connection.recv())())


class Loops:
    """The loops, on the same model and batches."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.rounds = options.rounds
        task = registry.load("tasks", "vqa")()
        recipe = task.resolve(load_recipe(options.model, {"train.epochs": 1}), task.dataset())
        everything = task.load(task.dataset(), "train")
        chosen = set(sorted({s.group for s in everything})[: options.groups])
        self.samples = [s for s in everything if s.group in chosen]
        self._new_model = partial(task.build, recipe, task.assets(self.samples))
        self.settings = recipe.train
        batches = GroupBatches(self.samples, self.settings.batch, seed=0).epoch(0)
        rng = np.random.default_rng(0)
        self.model = self.new_model().eval()
        self._training = [self.model.collate_training(batch, rng) for batch in batches]
        test = task.load(task.dataset(), "test")
        self.queries = test.queries
        answering = GroupBatches(test, self.settings.batch).epoch()
        self._answering = [self.model.collate(batch) for batch in answering]

    def new_model(self):
        torch.manual_seed(0)
        return self._new_model()

    def bare_training(self) -> float:
        model = self.new_model().train()
        optimizer = optimizer_for(model, self.settings)
        began = time.perf_counter()
        for batch in self._training:
            loss = model.losses(batch)["answer"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), self.settings.clip)
            optimizer.step()
        return time.perf_counter() - began

    def our_training(self, prefetch: bool | None = None, model=None) -> float:
        model = model or self.new_model()
        stage = Stage(name="task", objective="task")
        with tempfile.TemporaryDirectory() as folder:
            trained = fit(
                model,
                WeightedObjectives(stage, model, self.settings),
                self.samples,
                self.settings,
                lambda: 0.0,
                seed=0,
                device=CPU,
                folder=Path(folder),
                resume=False,
                watcher=SILENT,
                prefetch=prefetch,
            )
        return trained.seconds

    def bare_inference(self) -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for batch in self._answering:
                self.model.answer(batch)
        return time.perf_counter() - began

    def our_inference(self) -> float:
        return seconds_of(self.predictor(self.model), self.queries)

    def predictor(self, model) -> ModelPredictor:
        return ModelPredictor(model, CPU, self.settings.batch)


def compare_compiled(loops: Loops) -> None:
    plain, other = loops.new_model(), loops.new_model()
    uncompiled = contextvars.copy_context()
    with compiling(True, CPU):
        predictors = [
            context.run(loops.predictor, model)
            for context, model in ((uncompiled, plain), (contextvars.copy_context(), other))
        ]
        compared(
            "training",
            lambda: uncompiled.run(loops.our_training, True, plain),
            lambda: loops.our_training(True, other),
            loops.rounds,
        )
        ways = (partial(seconds_of, predictor, loops.queries) for predictor in predictors)
        compared("answering", *ways, loops.rounds)


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
