"""How fast frozen encoders are: features of photos, and training on features that are kept.

    python benchmarks/features.py [--images 64] [--rounds 5] [--vqa-rad FOLDER]

Features: EfficientNet-Lite0 by the plain network, one image at a time (as mmbench did at first),
against the encoder's own way, both as images a second of wall and of CPU time, and the largest
difference between them.

Training (where the folder of VQA-RAD is given): `concat_fusion_pretrained` for two epochs, in
samples a second of the training steps, with features kept pooled and with all tokens kept, in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from mmbench import registry
from mmbench.experiments.watch import SILENT
from mmbench.recipe import load_recipe
from mmbench.stages import Stage
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.zoo.part import build_part

_CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}


def features(images: int, rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 224, 224), generator=generator, dtype=torch.uint8)
    plain = build_part("encoders", "efficientnet_lite0", {"frozen": False}, dim=8).eval()
    ours = build_part("encoders", "efficientnet_lite0", {}, dim=8)

    ways = {"plain": (plain, 1), "ours": (ours, ours.at_once)}
    # The best time of each few images over the rounds, so that other work on it counts less.
    chunks = {name: -(-images // at_once) for name, (_, at_once) in ways.items()}
    best = {(name, clock): [float("inf")] * chunks[name] for name in ways for clock in _CLOCKS}
    found = {}
    for _ in range(rounds):
        for name, (encoder, at_once) in ways.items():
            tokens = []
            for place, chunk in enumerate(pixels.split(at_once)):
                began = {clock: read() for clock, read in _CLOCKS.items()}
                with torch.no_grad():
                    tokens.append(encoder.extract(chunk).tokens)
                for clock, read in _CLOCKS.items():
                    times = best[name, clock]
                    times[place] = min(times[place], read() - began[clock])
            found[name] = torch.cat(tokens)
    for clock in _CLOCKS:
        one, other = (images / sum(best[name, clock]) for name in ("plain", "ours"))
        print(
            f"features a {clock} second: plain {one:.1f}, ours {other:.1f}, ratio {other / one:.2f}"
        )
    print(f"largest difference {(found['plain'] - found['ours']).abs().max():.1e}")


def training(folder: Path, rounds: int) -> None:
    task = registry.load("tasks", "vqa")()
    spec = task.dataset("vqa_rad", folder)
    recipe = task.resolve(load_recipe("concat_fusion_pretrained", {"train.epochs": 2}), spec)
    samples = task.load(spec, "train")
    assets = task.assets(samples)

    def run(pooled: bool) -> float:
        torch.manual_seed(0)
        model = task.build(recipe, assets)
        if not pooled:  # as mmbench did at first: all tokens are kept, projected and then pooled
            model._keeps_pooled = lambda modality: False
            model.reads(dict.fromkeys(model.encoders, "pooled"))
        objectives = WeightedObjectives(Stage(name="task", objective="task"), model, recipe.train)
        objectives.prepare(model, samples)
        with tempfile.TemporaryDirectory() as state:
            trained = fit(
                model,
                objectives,
                samples,
                recipe.train,
                lambda: 0.0,
                seed=0,
                device=torch.device("cpu"),
                folder=Path(state),
                resume=False,
                watcher=SILENT,
            )
        return trained.samples_per_second

    run(True), run(False)  # warm-up, and the features
    best = {True: 0.0, False: 0.0}
    for _ in range(rounds):
        for pooled in best:
            best[pooled] = max(best[pooled], run(pooled))
    print(f"training on pooled features {best[True]:>9,.0f} samples/s")
    print(f"training on all tokens      {best[False]:>9,.0f} samples/s")
    print(f"ratio {best[True] / best[False]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vqa-rad", type=Path, help="the folder of VQA-RAD")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, best of {options.rounds} rounds")
    if options.images:
        features(options.images, options.rounds)
    if options.vqa_rad:
        training(options.vqa_rad, options.rounds)


if __name__ == "__main__":
    main()
