"""Training throughput of one process alone, and of two at once on the same machine.

    python benchmarks/two_at_once.py [--rounds 3] [--steps 60]
    python benchmarks/two_at_once.py --compare [--rounds 2] [--epochs 2]

Each process trains the default gated fusion of VQA on tensors that are collated beforehand, so that
it computes all the time. Two at once reach at least 0.45 of the throughput alone each where idle
OpenMP threads do not spin (`GOMP_SPINCOUNT`, which `import mmbench` sets). Exit code 1 if they do
not. With `--compare` it times `mmbench compare` of two models and two seeds on easy-VQA cut short,
one run at a time and two (`--jobs 2`), start and answers included. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

_WANTED = 0.45


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _train(options.steps)
        return
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before")
    if options.compare:
        _time_jobs(options.rounds, options.epochs)
        return
    alone: list[float] = []
    shares: list[float] = []
    for number in range(1, options.rounds + 1):
        one = _at_once(1, options.steps)[0]
        two = _at_once(2, options.steps)
        alone.append(one)
        shares += [speed / one for speed in two]
        says = " and ".join(f"{speed:,.0f} ({speed / one:.2f})" for speed in two)
        print(f"round {number}: alone {one:,.0f} samples/s; two at once {says}", flush=True)
    share = statistics.median(shares)
    print(f"median: alone {statistics.median(alone):,.0f} samples/s, two at once {share:.2f} of it")
    if share < _WANTED:
        print(f"below {_WANTED}")
        sys.exit(1)


def _time_jobs(rounds: int, epochs: int) -> None:
    """Print how long a comparison takes with one run at a time and with two, and their ratio."""
    ratios = []
    for number in range(1, rounds + 1):
        one, two = (_compare(jobs, epochs) for jobs in (1, 2))
        ratios.append(one / two)
        print(f"round {number}: --jobs 1 {one:.1f} s, --jobs 2 {two:.1f} s", flush=True)
    print(f"median: --jobs 2 is {statistics.median(ratios):.2f} times as fast")


def _compare(jobs: int, epochs: int) -> float:
    """Seconds of a comparison of four runs."""
    command = [sys.executable, "-c", "from mmbench.cli import main; main()", "compare", "--quiet"]
    command += ["--task", "vqa", "--models", "concat_fusion,gated_fusion", "--seeds", "2"]
    command += ["--set", f"train.epochs={epochs}", "--device", "cpu", "--jobs", str(jobs)]
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        subprocess.run([*command, "--out", out], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def _at_once(count: int, steps: int) -> list[float]:
    """Samples a second of each of so many processes, which start to train at the same time."""
    command = [sys.executable, __file__, "--child", "--steps", str(steps)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            sys.exit(f"a training did not start: exit code {child.wait()}")
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [float(child.communicate()[0]) for child in children]


def _train(steps: int) -> None:
    """Train for so many steps when told to, and print samples a second."""
    import mmbench  # noqa: F401  # before torch: it sets how idle threads wait

    # isort: split
    import numpy as np
    import torch
    from torch import nn

    from mmbench import registry
    from mmbench.data.batches import GroupBatches
    from mmbench.recipe import load_recipe

    torch.manual_seed(0)
    task = registry.load("tasks", "vqa")()
    dataset = task.dataset()
    recipe = task.resolve(load_recipe("gated_fusion"), dataset)
    samples = task.load(dataset, "train")
    model = task.build(recipe, task.assets(samples)).train()
    batches = list(GroupBatches(samples, recipe.train.batch, seed=0).epoch(0))[:8]
    rng = np.random.default_rng(0)
    tensors = [(model.collate_training(batch, rng), len(batch)) for batch in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step(number: int) -> int:
        batch, size = tensors[number % len(tensors)]
        loss = sum(model.losses(batch).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return size

    for number in range(3):
        step(number)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    done = sum(step(number) for number in range(steps))
    print(done / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
