"""What one process for all runs of a comparison saves, on frozen encoders.

    python benchmarks/compare_shared.py [--vqa-rad FOLDER] [--quick] [--alone N] [--set KEY=VALUE]

Six fusions and five seeds (three and two with `--quick`) of frozen EfficientNet-Lite0 and MiniLM,
as 30 calls of `mmbench run --train`, and as one `mmbench.compare`, by default settings, with the
same caches, which hold data and features before either begins. The fusions are such as read pooled
features: where one reads tokens, training takes minutes on a CPU and nothing else counts. Half of
the single runs come before the comparison and half after, so that a load that grows favours
neither. With `--alone N` only N of them are made, spread evenly, and their time is scaled up.

Printed are the whole times on the clock and of the CPU (user and system, of all processes), and
their ratios. Both must leave the same metrics, predictions, statistics and weights, to the byte.
Exit code 1 if they do not, or if the ratio of CPU time is above 0.3.

Without the folder of VQA-RAD it takes easy-VQA, four epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FUSIONS = ("attention", "concat", "gated", "hadamard", "low_rank_tensor", "sum")
WANTED = 0.3
_SAME = ("predictions.parquet", "statistics.npz", "weights.safetensors")


_COMPARE = "import sys, json, mmbench; print(mmbench.compare(**json.loads(sys.argv[1])))"
_RUN = "from mmbench.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vqa-rad", type=Path, help="the folder of VQA-RAD")
    parser.add_argument("--quick", action="store_true", help="three fusions, two seeds")
    parser.add_argument("--alone", type=int, help="how many single runs are made; all if absent")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    settings = {"task": "vqa", "dataset": "easy_vqa"}
    changes = {"train.epochs": 4}
    if options.vqa_rad:
        settings |= {"dataset": "vqa_rad", "data_dir": str(options.vqa_rad)}
        changes = {}
    changes |= {key: json.loads(value) for key, _, value in (s.partition("=") for s in options.set)}
    models = [f"{name}_fusion_pretrained" for name in FUSIONS[: 3 if options.quick else None]]
    seeds = 2 if options.quick else 5
    print(f"{len(models)} fusions x {seeds} seeds, {os.cpu_count()} CPUs", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ratio = _measure(Path(folder), settings, changes, models, seeds, options.alone)
    print(f"ratio of CPU time {ratio:.3f}, wanted at most {WANTED}")
    if ratio > WANTED:
        sys.exit(1)


def _measure(
    folder: Path,
    settings: dict[str, str],
    changes: dict[str, object],
    models: list[str],
    seeds: int,
    singles: int | None,
) -> float:
    """Time both ways; the ratio of their CPU times."""
    runs = [(model, seed) for seed in range(seeds) for model in models]
    step = len(runs) / (singles or len(runs))
    chosen = [runs[int(number * step)] for number in range(singles or len(runs))]

    def alone(model: str, seed: int, out: str) -> tuple[float, float]:
        arguments = ["run", "--train", "--quiet", "--device", "cpu", "--model", model]
        arguments += ["--seed", str(seed), "--out", str(folder / out)]
        for name, value in settings.items():
            arguments += [f"--{name.replace('_', '-')}", value]
        for key, value in changes.items():
            arguments += ["--set", f"{key}={json.dumps(value)}"]
        return _time(_RUN, *arguments)

    alone(models[0], 0, "warm-up")
    half = len(chosen) // 2
    times = [alone(*run, "alone") for run in chosen[:half]]
    asked = settings | {"models": models, "seeds": seeds, "overrides": changes, "device": "cpu"}
    together = _time(_COMPARE, json.dumps(asked | {"out": str(folder / "together")}))
    times += [alone(*run, "alone") for run in chosen[half:]]
    _check_same(folder / "alone", folder / "together")
    trained = [
        json.loads(path.read_text())["training"]["seconds"]
        for path in (folder / "together").rglob("run.json")
    ]
    ratio = {}
    for place, clock in enumerate(("wall", "CPU")):
        each = sum(found[place] for found in times) / len(times)
        ratio[clock] = together[place] / (each * len(runs))
        print(
            f"{clock:>4}: {len(runs)} runs {each * len(runs):.1f} s ({each:.2f} each, of "
            f"{len(times)}), compare {together[place]:.1f} s: ratio {ratio[clock]:.3f}",
            flush=True,
        )
    print(
        f"of the comparison {sum(trained) / together[0]:.0%} of the wall time is training; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return ratio["CPU"]


def _time(program: str, *arguments: str) -> tuple[float, float]:
    """Seconds on the clock and of the CPU that a program takes, with all that it starts."""
    began, used = time.perf_counter(), _used()
    command = [sys.executable, "-c", program, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


def _check_same(ours: Path, theirs: Path) -> None:
    """Exit unless every record has its twin, with the same values and bytes."""
    found = {path.relative_to(ours): path for path in ours.rglob("run.json")}
    for place, path in found.items():
        twin = theirs / place
        if not twin.is_file():
            sys.exit(f"{place}: {theirs.name} has no such run")
        a, b = (json.loads(file.read_text()) for file in (path, twin))
        if a["metrics"] != b["metrics"]:
            sys.exit(f"{place}: the metrics differ")
        for name in _SAME:
            if path.with_name(name).read_bytes() != twin.with_name(name).read_bytes():
                sys.exit(f"{place}: {name} differs")
    print(f"{len(found)} records made alone and together are equal to the byte", flush=True)


if __name__ == "__main__":
    main()
