"""A comparison: models trained under equal conditions over several seeds, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import (
    Conditions,
    check_mixture,
    conditions,
    footnotes,
    unequal_training,
)
from mmbench.experiments.measured_runs import measured_runs, same_samples
from mmbench.experiments.plan import Splits, make_plan, recipe_name
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import carry_out
from mmbench.experiments.score import load_metrics
from mmbench.experiments.watch import SILENT, Watch
from mmbench.records.identity import Identity, differences
from mmbench.records.record import MetricEntry
from mmbench.records.store import read_record, record_folder, seeds_of
from mmbench.request import RunRequest, run_request
from mmbench.statistics.comparison import ModelEstimate
from mmbench.statistics.family import Family, Pair, compare_models

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3  # differences of identities in a line


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        metric: the primary metric, as the first run has it.
        family: estimates, best model first; all pairs (or all against the baseline) with Holm's
            correction; letters of what cannot be told apart; verdicts.
        runs: by model, a result per seed that ended.
        conditions: what was equal, what differed, and whose training is another.
        failed: by model and seed, why a run gave no result.
        notes: what else a reader must know, such as other versions of libraries.
    """

    metric: MetricEntry
    family: Family
    runs: dict[str, list[RunResult]]
    conditions: Conditions
    failed: Mapping[tuple[str, int], str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def estimates(self) -> Sequence[ModelEstimate]:
        """Each model's value with its interval, best first."""
        return self.family.estimates

    def letters(self, model: str) -> str:
        """Models that share a letter cannot be told apart; empty against a baseline."""
        return next(iter(self.family.letters.values()), {}).get(model, "")

    def against(self, model: str) -> Pair | None:
        """The model's difference from the best one (or the baseline); None for that one itself."""
        other = self.family.baseline or self.estimates[0].model
        for pair in self.family.pairs:
            if {pair.difference.a, pair.difference.b} == {model, other}:
                return pair
        return None

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        return next(iter(self.family.verdicts.values()))

    def to_frame(self) -> pd.DataFrame:
        """A row a model, best first: value, interval, difference, cost; values unscaled."""
        import pandas as pd

        rows = []
        for found in self.estimates:
            record = self.runs[found.model][0].record
            row: dict[str, Any] = {
                "model": found.model,
                "mean": found.mean,
                "sd": found.sd,
                "seeds": len(found.seeds),
                "letters": self.letters(found.model),
                "parameters": sum(record.parameters.values()),
                "flops_per_sample": record.flops_per_sample,
                "training_seconds": training_seconds(self.runs[found.model]),
            }
            if found.interval:
                row |= {"low": found.interval.low, "high": found.interval.high}
            if (pair := self.against(found.model)) is not None:
                sign = 1 if pair.difference.a == found.model else -1
                ends = sorted(
                    (sign * pair.difference.interval.low, sign * pair.difference.interval.high)
                )
                row |= {
                    "difference": sign * pair.difference.difference,
                    "difference_low": ends[0],
                    "difference_high": ends[1],
                    "p_value": pair.difference.p_value,
                    "p_adjusted": pair.adjusted,
                }
            rows.append(row)
        return pd.DataFrame(rows)


def training_seconds(runs: Sequence[RunResult]) -> float | None:
    """Mean over runs; None where nothing is trained."""
    times = [run.record.training.seconds for run in runs if run.record.training]
    return float(np.mean(times)) if times else None


def compare(
    task: str,
    models: Sequence[str],
    *,
    seeds: int = 3,
    baseline: str | None = None,
    watch: Watch = SILENT,
    told: Callable[[str, int, RunResult], None] = lambda *_: None,
    notice: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Comparison:
    """Train each model with each of the seeds 0..seeds-1, score it, and compare.

    Runs that have a record under `out` are not repeated, and a training that was cut off goes on
    where it was: the table is the same as without the interruption. A run that fails is named, and
    the others go on.

    Args:
        task: a registered task.
        models: two or more recipes.
        seeds: how many.
        baseline: the model that the others are compared with; all pairs if None.
        watch: told of each run's progress.
        told: called with model, seed and result after each run.
        notice: called with what should be known before hours are spent: trainings that are not
            equal, and which runs are new and why.
        settings: dataset, split, overrides, limit, device, deterministic, batch_size, data_dir,
            skip_bad, allow_hub_code, out, force: see `mmbench.request.RunRequest`.
    Raises: MMBenchError for a mistake in these, before anything is trained where it can be seen.
    """
    if seeds < 1:
        raise MMBenchError(f"--seeds must be at least 1, got {seeds}")
    if len(models) < 2:
        raise MMBenchError(f"compare needs at least two models, got {', '.join(models) or 'none'}")
    names = [recipe_name(model) for model in models]
    if len(set(names)) < len(models):
        raise MMBenchError(f"a model is named twice: {', '.join(models)}")
    if baseline is not None and baseline not in names:
        raise MMBenchError(f"the baseline {baseline} is not among the models: {', '.join(names)}")
    requests = [
        run_request(**{"task": task, "model": model, "train": True, "seed": seed} | settings)
        for seed in range(seeds)
        for model in models
    ]
    read: dict[str, Splits] = {}
    _announce(requests, read, notice)
    runs: dict[str, list[RunResult]] = {name: [] for name in names}
    failed: dict[tuple[str, int], str] = {}
    for request in requests:
        name = recipe_name(request.model)
        try:
            result = carry_out(request, watch, read)
        except MMBenchError as error:
            failed[name, request.seed] = str(error)
            notice(f"{name} seed {request.seed} failed: {error}")
            continue
        runs[name].append(result)
        told(name, request.seed, result)
    return compare_runs(runs, baseline=baseline, failed=failed)


def compare_runs(
    runs: Mapping[str, Sequence[RunResult]],
    *,
    baseline: str | None = None,
    allow_mixed: bool = False,
    failed: Mapping[tuple[str, int], str] | None = None,
) -> Comparison:
    """Compare runs that exist: by model, a result per seed, all over the same samples.

    Args:
        runs: by model; unequal seeds are taken as they are.
        baseline: as above.
        allow_mixed: compare runs of different kinds of device, or of versions of one part.
        failed: by model and seed, why there is no result.
    Raises: MMBenchError if fewer than two models have a run, or they may not be compared.
    """
    failed = failed or {}
    found = {model: list(results) for model, results in runs.items() if results}
    if len(found) < 2:
        reasons = "; ".join(dict.fromkeys(failed.values()))
        raise MMBenchError(f"fewer than two models have a run to be compared. {reasons}".strip())
    records = {model: [run.record for run in results] for model, results in found.items()}
    every = [record for of_model in records.values() for record in of_model]
    mixed = check_mixture(every, allow_mixed)
    first = every[0]
    metric = load_metrics([first.primary.name])[0]
    by_seed = {m: {run.record.seed: run for run in results} for m, results in found.items()}
    kept = {m: {seed: run.statistics() for seed, run in of.items()} for m, of in by_seed.items()}
    same_samples(kept)
    measured = [measured_runs(m, metric, by_seed[m], kept=kept[m]) for m in by_seed]
    notes = [f"mixed {words}" for words in mixed] + footnotes(every)
    return Comparison(
        metric=first.primary,
        family=compare_models(measured, baseline),
        runs=found,
        conditions=conditions(records),
        failed=failed,
        notes=notes,
    )


def _announce(
    requests: Sequence[RunRequest], read: dict[str, Splits], notice: Callable[[str], None]
) -> None:
    """Say before anything is trained whose training is another, and which runs are new and why."""
    recipes = {}
    lines: list[str] = []
    for request in requests:
        plan = make_plan(request, read)
        recipes[plan.model] = plan.recipe.settings()
        place = plan.task.name, plan.dataset.name, plan.model, plan.identity.hash, plan.seed
        folder = record_folder(request.out, *place)
        if folder.exists() and not request.force:
            continue
        why = "--force runs it again" if folder.exists() else _why_new(folder, plan.identity)
        lines.append(f"{plan.model} seed {plan.seed} is new: {why}")
    for line in lines:  # once all is found to exist
        notice(line)
    for model, words in unequal_training(recipes).items():
        notice(f"warning: {model} is not trained as the others are: {words}")


def _why_new(folder: Path, identity: Identity) -> str:
    """How the nearest record of the model and seed differs from what is asked for."""
    earlier = []
    for other in seeds_of(folder):
        try:
            earlier.append(read_record(other))
        except MMBenchError:  # it is named by whoever reads it
            continue
    lines = [differences(identity, record.identity) for record in earlier]
    nearest = min(lines, key=len, default=None)
    if nearest is None:
        return "no record of it yet"
    more = f"; and {len(nearest) - _SHOWN} more" if len(nearest) > _SHOWN else ""
    return f"the nearest record differs in {'; '.join(nearest[:_SHOWN])}{more}"
