"""How often are two equal models called different by all that `mmbench compare` does? A table.

    python benchmarks/false_differences.py [--comparisons 200]

Each comparison makes records of two models that are equal in truth, with different names: per
sample what was right, for several seeds, on one dataset or three. They are compared by the function
that `mmbench compare` calls (`compare_datasets`), from the files that it reads. About two minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from mmbench.experiments.compare import DatasetRuns, compare_datasets
from mmbench.experiments.result import RunResult
from mmbench.metrics.accuracy import Accuracy
from mmbench.records.record import Record
from mmbench.records.statistics_file import Statistics
from mmbench.records.store import STATISTICS_FILE, find_records, read_record

REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "vqa" / "easy_vqa"
IMAGES, QUESTIONS = 150, 2  # of each image
# Seeds, seed spread, datasets. Single runs of models that scatter do differ: of these very weights.
CELLS = [(1, 0.0, 1)] + [
    (seeds, spread, datasets)
    for seeds, datasets in ((3, 1), (5, 1), (5, 3))
    for spread in (0.0, 1.0, 3.0)
]


class World:
    """Simulated runs of equal models.

    A question is answered rightly with a probability that depends on the image, on the model's seed
    and on both together; of all models' images alike.

    Args:
        folder: where the runs' files are written.
        seeds: runs of each model.
        spread: standard deviation over seeds, in multiples of the samples' standard error.
        datasets: how many.
        models: names.
    """

    def __init__(
        self, folder: Path, seeds: int, spread: float, datasets: int, models: tuple[str, ...]
    ) -> None:
        self.folder, self.seeds, self.spread = folder, seeds, spread
        self.datasets, self.models = datasets, models
        self.template = read_record(find_records([REFERENCE / "concat_fusion"])[0])

    def different(self, number: int) -> bool:
        """Whether any two of them are called different in a comparison."""
        rng = np.random.default_rng([number, self.seeds, self.datasets, round(10 * self.spread)])
        found = {f"d{i}": DatasetRuns(self._runs(rng)) for i in range(self.datasets)}
        _, family = compare_datasets(found)
        return any(pair.different for pair in family.pairs)

    def _runs(self, rng: np.random.Generator) -> dict[str, list[RunResult]]:
        hard = rng.normal(0.8, 1.0, size=IMAGES)
        error = 1 / np.sqrt(IMAGES)
        runs: dict[str, list[RunResult]] = {}
        for model in self.models:
            for seed in range(self.seeds):
                of_seed = self.spread * error * rng.normal()
                eases = hard + of_seed + 0.5 * rng.normal(size=IMAGES)
                right = rng.random((IMAGES, QUESTIONS)) < 1 / (1 + np.exp(-2 * eases[:, None]))
                runs.setdefault(model, []).append(self._run(model, seed, right.ravel()))
        return runs

    def _run(self, model: str, seed: int, right: np.ndarray) -> RunResult:
        statistics = Statistics(
            by_metric={"accuracy": right[:, None].astype(np.float64)},
            groups=np.repeat(np.arange(IMAGES), QUESTIONS),
            categories=np.full(len(right), -1),
            category_names=[],
            samples="simulated",
        )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / STATISTICS_FILE).write_bytes(statistics.to_bytes())
        return RunResult(self._record(model, seed, float(right.mean())), folder, reused=False)

    def _record(self, model: str, seed: int, value: float) -> Record:
        entry = self.template.primary.model_copy(update={"value": value, "interval": None})
        assert entry.signature == Accuracy().signature
        return self.template.model_copy(update={"model": model, "seed": seed, "metrics": [entry]})


def false_share(
    comparisons: int, seeds: int, spread: float, datasets: int, models: int = 2
) -> float:
    """The share of comparisons of equal models in which any two are called different."""
    names = tuple(f"model_{number}" for number in range(models))
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), seeds, spread, datasets, names)
        return sum(world.different(number) for number in range(comparisons)) / comparisons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=200)
    count = parser.parse_args().comparisons
    print(f"Equal models called different, of {count} comparisons each:\n")
    print(
        "| seeds | datasets | seed spread | 2 models | 6 models |\n| --- | --- | --- | --- | --- |"
    )
    highest = 0.0
    for seeds, spread, datasets in CELLS:
        shares = [false_share(count, seeds, spread, datasets, models) for models in (2, 6)]
        highest = max(highest, *shares)
        cells = " | ".join(f"{100 * share:.1f}%" for share in shares)
        print(f"| {seeds} | {datasets} | {spread:g} | {cells} |", flush=True)
    print(f"\nHighest: {100 * highest:.1f}%")


if __name__ == "__main__":
    main()
