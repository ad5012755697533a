"""Training in stages against training from nothing, on a tenth of the labels.

    python benchmarks/staged.py [--seed 0] [--without STAGE] [--out results/staged]
    python benchmarks/staged.py --nothing [--seed 0]
    python benchmarks/staged.py --table [--out results/staged]

A seed has two trainings. The first, `staged/pretrained.yaml`, sees no question that is answered: an
image encoder and a text encoder each by itself, both aligned, then captioning and retrieval
together. The second, `staged/answers.yaml`, begins from its weights and learns the questions of a
tenth of the pictures; with `--nothing` it begins from nothing. `--without` leaves one stage of the
first out, as an ablation. `--table` shows what the records say: differences are paired by seed and
sample, intervals are over seeds and pictures; ablations are of one seed each, and exploratory.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml
from gpu_setup import tokenise_without_java

import mmbench
from mmbench import registry
from mmbench.experiments.measured_runs import measured_runs
from mmbench.experiments.result import RunResult
from mmbench.statistics.bootstrap import Interval
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.measured import Measured

FOLDER = Path(__file__).parent / "staged"
STAGES = ("image", "text", "align", "joint")
NOTHING, ALL = "nothing", "all_stages"
FEW = 100  # samples that the first training is scored on, whose own scores nobody reads
DATASET = "scenes"


def pretrained(seed: int, without: str | None, out: Path, **settings: Any) -> Path:
    """The weights of the first training."""
    model = FOLDER / "pretrained.yaml"
    overrides = dict(settings.pop("overrides", {}))
    if without is not None:
        stages = yaml.safe_load(model.read_text())["stages"]
        overrides["stages"] = [stage for stage in stages if stage["name"] != without]
    settings |= {"train": True, "seed": seed, "limit": FEW, "overrides": overrides, "out": out}
    if without == "joint":  # whatever task: no stage is of it
        result = mmbench.run("retrieval", model, dataset=DATASET, **settings)
    else:
        tasks = ["captioning", "retrieval"]
        both = mmbench.run_together(tasks, str(model), dataset=DATASET, **settings)
        result = both["retrieval"]
    return result.path / "weights.safetensors"


def answers(seed: int, init: Path | None, out: Path, **settings: Any) -> RunResult:
    """The second training, from these weights or from nothing."""
    settings |= {"train": True, "seed": seed, "init": init, "out": out}
    return mmbench.run("vqa", FOLDER / "answers.yaml", dataset=DATASET, **settings)


def table(out: Path) -> str:
    """What the records below a folder say, as Markdown."""
    metric = registry.load("metrics", "accuracy")()
    runs: dict[str, dict[int, RunResult]] = {}
    for file in sorted(out.glob("*/vqa/*/answers/*/seed-*/run.json")):
        result = mmbench.load_run(file.parent)
        runs.setdefault(file.relative_to(out).parts[0], {})[result.record.seed] = result
    lines = [
        "| begins from | seeds | accuracy | less from nothing | less all stages |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(runs, key=lambda name: (name != NOTHING, name != ALL, name)):
        known = estimate(measured_runs(name, metric, runs[name]))
        cells = [name.replace("_", " "), str(len(runs[name]))]
        cells += [
            _number(known.mean, known.interval),
            *(_gain(runs, name, o) for o in (NOTHING, ALL)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(runs: dict[str, dict[int, RunResult]], name: str, other: str) -> str:
    """The difference to another condition, over the seeds that both have."""
    seeds = set(runs[name]) & set(runs.get(other, ()))
    if name == other or not seeds:
        return ""

    def of(condition: str) -> Measured:
        metric = registry.load("metrics", "accuracy")()
        return measured_runs(condition, metric, {s: runs[condition][s] for s in seeds})

    found = difference(of(name), of(other))
    return _number(found.difference, found.interval, sign="+")


def _number(value: float, interval: Interval | None, sign: str = "") -> str:
    ends = f" [{100 * interval.low:{sign}.1f}, {100 * interval.high:{sign}.1f}]" if interval else ""
    return f"{100 * value:{sign}.1f}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=STAGES)
    parser.add_argument("--nothing", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("results/staged"))
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    if asked.table:
        print(table(asked.out))
        return
    tokenise_without_java()
    name = NOTHING if asked.nothing else f"without_{asked.without}" if asked.without else ALL
    init = None
    if not asked.nothing:
        first = asked.out / "pretrained" / name
        init = pretrained(asked.seed, asked.without, first, device=asked.device)
    result = answers(asked.seed, init, asked.out / name, device=asked.device)
    print(f"{name}, seed {asked.seed}: accuracy {100 * result.value:.1f}")


if __name__ == "__main__":
    main()
