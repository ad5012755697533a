"""Training throughput of one process alone, and of two at once on the same machine.

    python benchmarks/two_at_once.py [--rounds 3] [--steps 60]
    python benchmarks/two_at_once.py --compare [--rounds 2] [--epochs 8] [--no-ray]

Each process trains the default gated fusion of VQA on tensors that are collated beforehand, so that
it computes all the time. Two at once reach at least 0.45 of the throughput alone each where idle
OpenMP threads do not spin (`GOMP_SPINCOUNT`, which `import mmbench` sets). Exit code 1 if they do
not. With `--compare` it times `mmbench compare` of two models and six seeds, 12 short runs of a
thread each: one at a time, two (`--jobs 2`) and on a cluster of Ray that runs here (a head and a
second node of a core each), start and answers included, and checks that the tables are the same.
A run takes about 2 s in 2 epochs and 6 s in 8.
Run it on a quiet machine. On a busy one the seconds of CPU tell more: two idle cores take at
least half of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

_WANTED = 0.45
_RECIPE = """
fusion: {fusion}
train: {{epochs: {epochs}}}
stages: [{{name: some, objective: task, data: {{share: 0.2}}}}]
"""
_ASKED = {"--jobs 2": 0.7, "--engine ray": 0.85}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _train(options.steps)
        return
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before")
    if options.compare:
        _time_jobs(options.rounds, options.epochs, not options.no_ray)
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


def _time_jobs(rounds: int, epochs: int, with_ray: bool) -> None:
    """Print how long a comparison takes in each way, beside one run at a time."""
    ways = {"in turn": ["--jobs", "1"], "--jobs 2": ["--jobs", "2"]}
    shares: dict[str, list[float]] = {}
    idle: dict[str, list[float]] = {}
    with _cluster() if with_ray else nullcontext() as cluster:
        nodes: list[Any] = []
        if cluster:
            address, nodes = cluster
            ways["--engine ray"] = ["--engine", "ray", "--address", address]
        for number in range(1, rounds + 1):
            load = os.getloadavg()[0]
            took, used, tables = {}, {}, set()
            for way, options in ways.items():
                before = _used(nodes)
                took[way], table = _compare(options, epochs)
                used[way] = _used(nodes) - before
                tables.add(table)
                shares.setdefault(way, []).append(took[way] / took["in turn"])
                idle.setdefault(way, []).append(used[way] / 2 / used["in turn"])
            says = ", ".join(f"{w} {took[w]:.1f} s ({used[w]:.1f} s of CPU)" for w in ways)
            same = "the same table" if len(tables) == 1 else "OTHER TABLES"
            print(f"round {number}: {says}; {same}; load {load:.1f} before", flush=True)
    for way, of in shares.items():
        asked = f" (asked: {_ASKED[way]})" if way in _ASKED else ""
        least = f"; at least {statistics.median(idle[way]):.2f} of it by the CPU it took"
        least = least if way != "in turn" else ""
        print(f"median: {way} takes {statistics.median(of):.2f} of the time in turn{asked}{least}")


def _compare(options: list[str], epochs: int) -> tuple[float, str]:
    """Seconds of a comparison of 12 runs, and its table but for what was measured."""
    command = [sys.executable, "-m", "mmbench", "compare", "--quiet"]
    command += ["--task", "vqa", "--seeds", "6", "--no-references", "--device", "cpu"]
    command += ["--limit", "500", "--threads", "1", *options]
    with tempfile.TemporaryDirectory() as out:
        recipes = {fusion: Path(out, f"{fusion}_fusion.yaml") for fusion in ("concat", "gated")}
        for fusion, file in recipes.items():
            file.write_text(_RECIPE.format(fusion=fusion, epochs=epochs))
        command += ["--models", ",".join(map(str, recipes.values()))]
        began = time.perf_counter()
        done = subprocess.run([*command, "--out", out], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    rows = [line.rsplit("  ", 1)[0] for line in done.stdout.splitlines()]  # the last cell: seconds
    return seconds, "\n".join(row for row in rows if "fusion" in row)


def _used(nodes: list[Any]) -> float:
    """Seconds of CPU that commands have taken, and what works for the nodes of a cluster."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = [process for node in nodes for process in node.children(recursive=True)]
    return own.ru_utime + own.ru_stime + sum(sum(w.cpu_times()[:2]) for w in workers)


@contextmanager
def _cluster() -> Iterator[tuple[str, list[Any]]]:
    """A cluster of two nodes of a core each, on this machine: its address, and their processes."""
    import psutil
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, started = f"127.0.0.1:{port}", []
    for place in (
        ["--head", f"--port={port}", "--include-dashboard=false"],
        ["--address", address],
    ):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, "--block"]
        command += ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, start_new_session=True, **quiet))
        for _ in range(60):  # until it has joined
            with suppress(ConnectionError, RuntimeError):
                ray.init(address, log_to_driver=False, logging_level="CRITICAL")
            joined = len(ray.nodes()) if ray.is_initialized() else 0
            ray.shutdown()
            if joined == len(started):
                break
            time.sleep(1)
    nodes = [psutil.Process(node.pid) for node in started]
    try:
        yield address, nodes
    finally:
        for process in [each for node in nodes for each in [node, *node.children(recursive=True)]]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


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
