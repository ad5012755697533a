"""A comparison: models trained under equal conditions over several seeds, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.conditions import (
    Conditions,
    check_mixture,
    conditions,
    footnotes,
    unequal_training,
)
from mmbench.experiments.execution import Failed, outcomes, threads_beside
from mmbench.experiments.measured_runs import measured_runs, same_samples
from mmbench.experiments.plan import Splits, make_plan, recipe_name
from mmbench.experiments.result import RunResult
from mmbench.experiments.score import load_metrics
from mmbench.experiments.shown import Shown
from mmbench.experiments.training_state import TrainingState
from mmbench.experiments.watch import SILENT, Watch
from mmbench.records.identity import Identity, differences
from mmbench.records.record import MetricEntry
from mmbench.records.store import read_record, seeds_of
from mmbench.request import RunRequest, run_request
from mmbench.statistics.comparison import ModelEstimate
from mmbench.statistics.family import Family, Pair, compare_models

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3  # differences of identities in a line
_KEPT = "Its training is kept: the same command goes on after its last whole epoch."


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
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
                **costs(self.runs[found.model]),
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


def costs(runs: Sequence[RunResult]) -> dict[str, float | None]:
    """What answers take, means over runs; None where no record says."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    inference = [run.record.inference for run in runs if run.record.inference]
    return {
        "latency_p50": mean([entry.latency_p50 for entry in inference]),
        "latency_p95": mean([entry.latency_p95 for entry in inference]),
        "samples_per_second": mean([entry.samples_per_second for entry in inference]),
        "peak_memory_mb": mean([run.record.peak_memory_mb for run in runs]),
        "peak_gpu_memory_mb": mean([run.record.peak_gpu_memory_mb for run in runs]),
    }


def compare(
    task: str,
    models: Sequence[str],
    *,
    seeds: int = 3,
    baseline: str | None = None,
    jobs: int = 1,
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
        jobs: how many runs at a time, each in a process of its own. Unless `threads` says
            otherwise, the cores are shared out among them; on a CPU the number of threads is part
            of a run's identity then.
        watch: told of each run's progress.
        told: called with model, seed and result after each run.
        notice: called with what should be known before hours are spent: trainings that are not
            equal, and which runs are new and why.
        settings: dataset, split, overrides, limit, device, deterministic, compile, threads,
            batch_size, data_dir, skip_bad, allow_hub_code, out, force: see
            `mmbench.request.RunRequest`.
    Raises: MMBenchError for a mistake in these, before anything is trained where it can be seen.
    """
    if seeds < 1:
        raise MMBenchError(f"--seeds must be at least 1, got {seeds}")
    if jobs < 1:
        raise MMBenchError(f"--jobs must be at least 1, got {jobs}")
    if len(models) < 2:
        raise MMBenchError(f"compare needs at least two models, got {', '.join(models) or 'none'}")
    names = [recipe_name(model) for model in models]
    if len(set(names)) < len(models):
        raise MMBenchError(f"a model is named twice: {', '.join(models)}")
    if baseline is not None and baseline not in names:
        raise MMBenchError(f"the baseline {baseline} is not among the models: {', '.join(names)}")
    if jobs > 1 and settings.get("threads") is None:
        settings["threads"] = threads_beside(jobs)
    requests = [
        run_request(**{"task": task, "model": model, "train": True, "seed": seed} | settings)
        for seed in range(seeds)
        for model in models
    ]
    read: dict[str, Splits] = {}
    folders = _announce(requests, read, notice)
    first = requests[0]
    if first.compile and (first.force or not all(f.exists() for f in folders.values())):
        _check_compiler(first.device)
    found: dict[tuple[str, int], RunResult] = {}
    failed: dict[tuple[str, int], str] = {}
    try:
        with closing(outcomes(requests, jobs, watch, read)) as ended:
            for request, outcome in ended:
                run = recipe_name(request.model), request.seed
                if isinstance(outcome, Failed):
                    kept = outcome.broke and TrainingState(folders[run]).exists()
                    failed[run] = f"{outcome.reason}. {_KEPT}" if kept else outcome.reason
                    notice(f"{run[0]} seed {run[1]} failed: {failed[run]}")
                else:
                    found[run] = outcome
                    told(*run, outcome)
    except KeyboardInterrupt:  # while others run for it
        kept = any(TrainingState(folder).exists() for folder in folders.values())
        raise Interrupted(f"stopped. {_KEPT if kept else ''}".strip()) from None
    failed = {run: failed[run] for run in folders if run in failed}
    runs = {name: [found[name, s] for s in range(seeds) if (name, s) in found] for name in names}
    return compare_runs(runs, baseline=baseline, failed=failed)


def _check_compiler(device: str) -> None:
    from mmbench.compiled import check_compiler
    from mmbench.training.device import choose_device

    check_compiler(choose_device(device))


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
        reasons = "; ".join(f"{model} seed {seed}: {why}" for (model, seed), why in failed.items())
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
) -> dict[tuple[str, int], Path]:
    """Say before anything is trained whose training is another, and which runs are new and why.

    Returns: by model and seed, where the record lies, or will.
    """
    recipes = {}
    folders: dict[tuple[str, int], Path] = {}
    lines: list[str] = []
    for request in requests:
        plan = make_plan(request, read)
        recipes[plan.model] = plan.recipe.settings()
        folder = folders[plan.model, plan.seed] = plan.folder
        if folder.exists() and not request.force:
            continue
        why = "--force runs it again" if folder.exists() else _why_new(folder, plan.identity)
        lines.append(f"{plan.model} seed {plan.seed} is new: {why}")
    for line in lines:  # once all is found to exist
        notice(line)
    for model, words in unequal_training(recipes).items():
        notice(f"warning: {model} is not trained as the others are: {words}")
    return folders


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
