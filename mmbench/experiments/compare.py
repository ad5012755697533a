"""A comparison: models trained under equal conditions over several seeds, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import run
from mmbench.experiments.score import load_metrics
from mmbench.experiments.watch import SILENT, Watch
from mmbench.records.record import MetricEntry, Record
from mmbench.statistics.bootstrap import Interval, group_codes
from mmbench.statistics.seeds import paired_difference_interval, seeds_and_samples_interval

if TYPE_CHECKING:
    import pandas as pd

Replicates = list[Callable[[Any], Any]]


@dataclass(frozen=True)
class Row:
    """A model in a comparison; values are unscaled.

    Attributes:
        model: its recipe's name.
        mean: of the primary metric over seeds.
        sd: standard deviation over seeds (n - 1); None for one seed.
        interval: of the mean, over seeds and samples.
        difference: mean less the best model's; None for the best itself.
        difference_interval: of that, paired by sample and seed.
        parameters: how many.
        training_seconds: mean over seeds; None where nothing is trained.
    """

    model: str
    mean: float
    sd: float | None
    interval: Interval
    difference: float | None
    difference_interval: Interval | None
    parameters: int
    training_seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        metric: the primary metric, as the first run has it.
        rows: best model first.
        runs: by model, a result per seed.
        conditions: what was equal, and what differed besides the fusion.
    """

    metric: MetricEntry
    rows: list[Row]
    runs: dict[str, list[RunResult]]
    conditions: str

    def to_frame(self) -> pd.DataFrame:
        """A row a model, best first, with the intervals' ends as columns; values unscaled."""
        import pandas as pd

        rows = []
        for row in self.rows:
            flat = {k: v for k, v in vars(row).items() if "interval" not in k}
            flat |= {"low": row.interval.low, "high": row.interval.high}
            if row.difference_interval:
                flat["difference_low"] = row.difference_interval.low
                flat["difference_high"] = row.difference_interval.high
            rows.append(flat)
        return pd.DataFrame(rows)


def compare(
    task: str,
    models: Sequence[str],
    *,
    seeds: int = 3,
    dataset: str | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    limit: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    allow_hub_code: bool = False,
    out: str | Path = "results",
    watch: Watch = SILENT,
    told: Callable[[str, int, RunResult], None] = lambda *_: None,
) -> Comparison:
    """Train each model with each of the seeds 0..seeds-1, score it, and compare.

    Runs that have a record under `out` are not repeated, and a training that was cut off goes on
    where it was: the table is the same as without the interruption.

    Args:
        models: two or more recipes.
        seeds: how many.
        watch: told of each run's progress.
        told: called with model, seed and result after each run.
        Otherwise as `mmbench.run`.
    Raises: MMBenchError for a mistake in these, before anything is trained where it can be seen.
    """
    if seeds < 1:
        raise MMBenchError(f"--seeds must be at least 1, got {seeds}")
    if len(models) < 2:
        raise MMBenchError(f"compare needs at least two models, got {', '.join(models) or 'none'}")
    if len(set(models)) < len(models):
        raise MMBenchError(f"a model is named twice: {', '.join(models)}")
    check_names(task, models, dataset, overrides)
    runs: dict[str, list[RunResult]] = {model: [] for model in models}
    for seed in range(seeds):
        for model in models:
            result = run(
                task,
                model,
                dataset=dataset,
                split=split,
                train=True,
                seed=seed,
                overrides=overrides,
                limit=limit,
                device=device,
                batch_size=batch_size,
                data_dir=data_dir,
                skip_bad=skip_bad,
                allow_hub_code=allow_hub_code,
                out=out,
                watch=watch,
            )
            runs[model].append(result)
            told(model, seed, result)
    return compare_runs(runs)


def compare_runs(runs: Mapping[str, Sequence[RunResult]]) -> Comparison:
    """Compare runs that exist: by model, a result per seed, all over the same samples."""
    first = next(iter(runs.values()))[0]
    metric = load_metrics([first.record.primary.name])[0]
    samples = first.predictions()[["id", "group"]]
    codes, groups = group_codes(samples["group"].tolist())
    replicates: dict[str, Replicates] = {}
    for model, results in runs.items():
        replicates[model] = []
        for result in results:
            table = result.predictions()
            same_metric = result.record.primary.signature == first.record.primary.signature
            if not same_metric or not table[["id", "group"]].equals(samples):
                raise MMBenchError(
                    f"{result.path} and {first.path} cannot be compared: they are not of the same "
                    "samples and metric"
                )
            values = metric.statistics(table["prediction"].tolist(), table["target"].tolist())
            replicates[model].append(partial(metric.resample, values, groups=codes))

    mean = {m: float(np.mean([result.value for result in results])) for m, results in runs.items()}
    sign = -1 if metric.higher_is_better else 1
    ranked = sorted(runs, key=lambda model: sign * mean[model])
    best = ranked[0]
    rows = []
    for model in ranked:
        records = [result.record for result in runs[model]]
        times = [r.training.seconds for r in records if r.training]
        rows.append(
            Row(
                model=model,
                mean=mean[model],
                sd=float(np.std([r.primary.value for r in records], ddof=1))
                if len(records) > 1
                else None,
                interval=seeds_and_samples_interval(replicates[model], groups),
                difference=None if model == best else mean[model] - mean[best],
                difference_interval=None
                if model == best
                else paired_difference_interval(replicates[model], replicates[best], groups),
                parameters=sum(records[0].parameters.values()),
                training_seconds=float(np.mean(times)) if times else None,
            )
        )
    conditions = _conditions([results[0].record for results in runs.values()])
    return Comparison(first.record.primary, rows, {m: list(r) for m, r in runs.items()}, conditions)


def check_names(
    task: str, models: Sequence[str], dataset: str | None, overrides: Mapping[str, Any] | None
) -> None:
    """Find every name now, so that a misspelt last model does not fail after hours."""
    from mmbench import registry
    from mmbench.recipe import load_recipe

    found = registry.load("tasks", task)()
    found.dataset(dataset)
    for model in models:
        recipe = load_recipe(model, overrides)
        recipe.resolve(found.encoders, found.decoder)


def _conditions(records: Sequence[Record]) -> str:
    """What differs between recipes, in words: a reader must know what a difference is due to."""
    flat = [_flatten(record.recipe) for record in records if not record.recipe.get("predictor")]
    keys = sorted({key for recipe in flat for key in recipe})
    differing = [key for key in keys if len({str(recipe.get(key)) for recipe in flat}) > 1]
    equal = "data, batches, seeds"
    if not any(key.startswith("train.") for key in differing):
        equal += " and training settings"
    differ = f"; recipes differ in {', '.join(differing)}" if differing else ""
    return f"equal {equal}{differ}"


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and "name" in value:
            flat[prefix + key] = value["name"], str(value.get("options"))
        elif isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
