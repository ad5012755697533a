"""What one process for all runs of a comparison saves, on frozen encoders.

    python benchmarks/compare_shared.py [--vqa-rad FOLDER] [--quick] [--rounds 1]

Six fusions and five seeds (three and two with `--quick`) of frozen EfficientNet-Lite0 and MiniLM,
as 30 calls of `mmbench run --train`, and as one `mmbench compare`, by default settings, with the
same caches, which hold data and features before either begins. The fusions are such as read pooled
features: where one reads tokens, training takes minutes on a CPU and nothing else counts. The
comparison is timed before and after the single runs, so that a load that grows favours neither.

Printed are the whole times on the clock and of the CPU (user and system, of all processes), and
their ratios. Every record must have the same metrics, predictions, statistics and weights to the
byte. Exit code 1 if one does not, or if the ratio of CPU time is above 0.3.

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
_SAME = ("predictions.parquet", "statistics.safetensors", "weights.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vqa-rad", type=Path, help="the folder of VQA-RAD")
    parser.add_argument("--quick", action="store_true", help="three fusions, two seeds")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    data = ["--task", "vqa", "--dataset", "easy_vqa", "--set", "train.epochs=4"]
    if options.vqa_rad:
        data = ["--task", "vqa", "--dataset", "vqa_rad", "--data-dir", str(options.vqa_rad)]
    models = [f"{name}_fusion_pretrained" for name in FUSIONS[: 3 if options.quick else None]]
    seeds = 2 if options.quick else 5
    print(f"{len(models)} fusions x {seeds} seeds, {os.cpu_count()} CPUs", flush=True)
    ratios = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ratios.append(_round(Path(folder), data, models, seeds))
    ratio = min(ratios)
    print(f"ratio of CPU time {ratio:.3f}, wanted at most {WANTED}")
    if ratio > WANTED:
        sys.exit(1)


def _round(folder: Path, data: list[str], models: list[str], seeds: int) -> float:
    """Time both ways once; the ratio of their CPU times."""
    _time("run", "--train", "--model", models[0], *data, "--out", str(folder / "warm-up"))
    together = ["compare", "--models", ",".join(models), "--seeds", str(seeds), *data]
    before = _time(*together, "--out", str(folder / "before"))
    alone = [
        _time(
            *("run", "--train", "--model", model, "--seed", str(seed), *data),
            *("--out", str(folder / "alone")),
        )
        for seed in range(seeds)
        for model in models
    ]
    after = _time(*together, "--out", str(folder / "after"))
    for other in ("before", "after"):
        _check_same(folder / "alone", folder / other)
    ratio = {}
    for place, clock in enumerate(("wall", "CPU")):
        of_runs = sum(times[place] for times in alone)
        of_both = (before[place], after[place])
        ratio[clock] = sum(of_both) / 2 / of_runs
        print(
            f"{clock:>4}: {len(alone)} runs {of_runs:.1f} s ({of_runs / len(alone):.2f} each), "
            f"compare {of_both[0]:.1f} and {of_both[1]:.1f} s: ratio {ratio[clock]:.3f}; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return ratio["CPU"]


def _time(*arguments: str) -> tuple[float, float]:
    """Seconds on the clock and of the CPU that a command takes, with all that it starts."""
    command = [sys.executable, "-c", "from mmbench.cli import main; main()", *arguments, "--quiet"]
    began, used = time.perf_counter(), _used()
    subprocess.run([*command, "--device", "cpu"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


def _check_same(ours: Path, theirs: Path) -> None:
    """Exit unless every record has its twin, with the same values and bytes."""
    found = {path.relative_to(ours): path for path in ours.rglob("run.json")}
    if set(found) != {path.relative_to(theirs) for path in theirs.rglob("run.json")}:
        sys.exit(f"{ours.name} and {theirs.name} are not of the same runs")
    for place, path in found.items():
        twin = theirs / place
        a, b = (json.loads(file.read_text()) for file in (path, twin))
        if a["metrics"] != b["metrics"]:
            sys.exit(f"{place}: the metrics differ")
        for name in _SAME:
            if path.with_name(name).read_bytes() != twin.with_name(name).read_bytes():
                sys.exit(f"{place}: {name} differs")
    print(f"{len(found)} records of {ours.name} and {theirs.name} are equal to the byte")


if __name__ == "__main__":
    main()
