"""What re-ranking by the fusion gains over the dual encoder of the same model; shipped weights.

    python benchmarks/reranking.py [DATASET ...]

Recall at 1 in points, both ways, with 95% bootstrap intervals over groups (a picture, video or
sound with its captions). Wanted: above 0 from text to picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmbench import registry
from mmbench.checkpoint import read_checkpoint, shipped_weights
from mmbench.data.sample import Sample
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor
from mmbench.recipe import load_recipe

DATASETS = ("scenes", "scenes_video", "scenes_audio")
MODELS = ("concat_fusion", "attention_fusion", "gated_fusion")
REPLICATES = 5000


def gain(
    samples: Sequence[Sample], side: str, ranks: list[Any], before: list[Any]
) -> tuple[float, float, float]:
    """The difference of recall at 1, and its interval, in points."""
    groups = {name: place for place, name in enumerate(dict.fromkeys(s.group for s in samples))}
    difference, count = np.zeros((2, len(groups)))
    for sample, now, then in zip(samples, ranks, before, strict=True):
        if sample.target == side:
            difference[groups[sample.group]] += float(now[0] == 1) - float(then[0] == 1)
            count[groups[sample.group]] += 1
    drawn = np.random.default_rng(0).integers(len(groups), size=(REPLICATES, len(groups)))
    values = difference[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.quantile(values, [0.025, 0.975])
    return tuple(100 * np.array([difference.sum() / count.sum(), low, high]))


def main(datasets: Sequence[str]) -> None:
    task = registry.load("tasks", "retrieval")()
    for dataset in datasets:
        spec = task.dataset(dataset)
        samples = task.load(spec, spec.evaluate_on)
        for name in MODELS:
            checkpoint = read_checkpoint(shipped_weights("retrieval", dataset, name))
            model = task.build(task.resolve(load_recipe(name, {}), spec), checkpoint.assets)
            checkpoint.restore(model)
            predictor = ModelPredictor(model, torch.device("cpu"), 128)
            ranks, _ = task.conclude(samples, values_of(predictor, samples.queries, name))
            model.fusion = None
            before, _ = task.conclude(samples, values_of(predictor, samples.queries, name))
            for side in dict.fromkeys(s.target for s in samples):
                value, low, high = gain(samples, side, ranks, before)
                print(f"{dataset:13} {name:17} {side:14} {value:+.2f} [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    main(sys.argv[1:] or DATASETS)
