"""Trains a small model in this process, one of several where a launcher has started some.

    python fit_here.py DATASET.yaml TASK FILE 'JSON of overrides' [EPOCH]

The first process writes the log of the training to FILE, and the weights' norms. The last one is
killed when EPOCH begins.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from mmbench import registry
from mmbench.experiments.watch import SILENT
from mmbench.processes import join
from mmbench.recipe import load_recipe
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.stages import stages_of
from tests.training.conftest import quick


def main() -> None:
    dataset, name, file, overrides, *killed = sys.argv[1:]
    processes = join("cpu")
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # so that rounding is told from a mistake
    task = registry.load("tasks", name)()
    spec = task.dataset(dataset)
    recipe = task.resolve(load_recipe("gated_fusion", quick(name) | json.loads(overrides)), spec)
    samples = task.load(task.adapt(spec, recipe), "train")
    if name == "captioning":  # of which one is drawn otherwise, by each process for its own samples
        samples = [replace(sample, target=sample.target[:1]) for sample in samples]
    torch.manual_seed(0)
    model = task.build(recipe, task.assets(samples)).double()
    (stage,) = stages_of(recipe, model)
    objectives = WeightedObjectives(stage, model, recipe.train)
    objectives.prepare(model, samples)
    epochs = []

    def score() -> float:
        epochs.append(0.0)
        if killed and len(epochs) == int(killed[0]) and processes.place == processes.count - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    trained = fit(
        model,
        objectives,
        samples,
        recipe.train,
        score,
        seed=0,
        device=torch.device("cpu"),
        folder=Path(file).parent / "state",
        resume=False,
        watcher=SILENT,
        prefetch=False,
    )
    if processes.first:
        sums = {key: value.double().norm().item() for key, value in model.state_dict().items()}
        found = {"losses": [entry["loss"] for entry in trained.log], "weights": sums}
        Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
