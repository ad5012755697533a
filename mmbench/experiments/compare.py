"""A comparison: models trained under equal conditions over several seeds, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import Conditions, check_mixture, conditions, footnotes
from mmbench.experiments.failures import failure_notes
from mmbench.experiments.measured_runs import answered_words, measured_runs, on_same_samples
from mmbench.experiments.result import RunResult
from mmbench.experiments.score import load_metrics
from mmbench.experiments.shown import Shown
from mmbench.experiments.watch import Watch
from mmbench.records.record import MetricEntry, Record
from mmbench.records.statistics_file import BoolArray
from mmbench.statistics.comparison import ModelEstimate
from mmbench.statistics.family import Family, Pair, compare_models
from mmbench.statistics.measured import Measured
from mmbench.study import make_study

if TYPE_CHECKING:
    import pandas as pd


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
        references: the models that fuse nothing, which the others must be better than.
        facts: what was done besides, such as tuning, under a word each.
    """

    metric: MetricEntry
    family: Family
    runs: dict[str, list[RunResult]]
    conditions: Conditions
    failed: Mapping[tuple[str, int], str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    references: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()

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

    @property
    def of_references(self) -> str:
        """Whether the models fuse anything, in words; empty where nothing is known of it."""
        return next(iter(self.family.of_references.values()), "")

    def to_frame(self) -> pd.DataFrame:
        """A row a model, best first: value, interval, difference, cost; values unscaled.

        The least difference that would have been seen is that of the whole family's strictest test.
        """
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
                    "effect_size": _signed(sign, pair.difference.effect_size),
                    "least_seen": pair.least_seen,
                }
            rows.append(row)
        return pd.DataFrame(rows)


def _signed(sign: int, value: float | None) -> float | None:
    return None if value is None else sign * value


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
    models: str | Sequence[str],
    *,
    dataset: str | None = None,
    seeds: int | Sequence[int] = 3,
    baseline: str | None = None,
    references: bool | Sequence[str] = False,
    jobs: int = 1,
    watch: Watch | None = None,
    told: Callable[[str, int, RunResult], None] = lambda *_: None,
    notice: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Comparison:
    """Train each model with each of the seeds on one dataset, score it, and compare.

    `mmbench.experiments.study.run_study` compares on several datasets at once.

    Runs that have a record under `out` are not repeated, and a training that was cut off goes on
    where it was: the table is the same as without the interruption. A run that fails is named, and
    the others go on.

    Args:
        task: a registered task.
        models: two or more recipes; a list, or names separated by commas.
        dataset: of the task; its default one if None.
        seeds: how many, 0, 1, ... each; or which.
        baseline: the model that the others are compared with; all pairs if None.
        references: whether the task's references, which fuse nothing, are compared too, as the
            command does; or which recipes are in their place.
        jobs: how many runs at a time, each in a process of its own. Unless `threads` says
            otherwise, the cores are shared out among them; on a CPU the number of threads is part
            of a run's identity then.
        watch: told of each run's progress; it is shown in a terminal or a notebook if None.
        told: called with model, seed and result after each run.
        notice: called with what should be known before hours are spent: trainings that are not
            equal, and which runs are new and why.
        settings: budget, tune, search, name, engine, address: see `mmbench.study.Study`; split,
            overrides, limit, device, deterministic, compile, threads, batch_size, init, data_dir,
            skip_bad, allow_hub_code, out, force: see `mmbench.request.RunSettings`.
    Raises: MMBenchError for a mistake in these, before anything is trained where it can be seen.
    """
    from mmbench.experiments.study import run_study

    study = make_study(
        task=[task],
        models=models if isinstance(models, str) else list(models),
        dataset=[] if dataset is None else [dataset],
        seeds=seeds,
        baseline=baseline,
        references=references,
        jobs=jobs,
        **settings,
    )
    return run_study(study, watch=watch, told=told, notice=notice).tables[0]


@dataclass(frozen=True)
class DatasetRuns:
    """The runs of models on one dataset.

    Attributes:
        runs: by model, a result per seed that ended; unequal seeds are taken as they are.
        failed: by model and seed, why there is no result.
        references: which of the models fuse nothing: what those that fuse must be better than.
        facts: what else a reader must know, under a word each.
    """

    runs: Mapping[str, Sequence[RunResult]]
    failed: Mapping[tuple[str, int], str] = field(default_factory=dict)
    references: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()


def compare_runs(
    runs: Mapping[str, Sequence[RunResult]],
    *,
    baseline: str | None = None,
    allow_mixed: bool = False,
    failed: Mapping[tuple[str, int], str] | None = None,
    references: Sequence[str] = (),
) -> Comparison:
    """Compare runs that exist: by model, a result per seed, all over the same samples.

    Args:
        runs: by model; unequal seeds are taken as they are.
        baseline: as above.
        allow_mixed: compare runs of different kinds of device, or of versions of one part.
        failed: by model and seed, why there is no result.
        references: which of the models fuse nothing.
    Raises: MMBenchError if fewer than two models have a run, or they may not be compared.
    """
    of = DatasetRuns(runs, failed or {}, references)
    [table], _ = compare_datasets({"": of}, baseline=baseline, allow_mixed=allow_mixed)
    return table


def compare_datasets(
    datasets: Mapping[str, DatasetRuns],
    *,
    metrics: Sequence[str] = (),
    baseline: str | None = None,
    allow_mixed: bool = False,
) -> tuple[list[Comparison], Family]:
    """Compare runs on several datasets, by several metrics, as one family of tests.

    Args:
        datasets: by name.
        metrics: what is tested, of those that a dataset's records have; the primary one if none.
        baseline: as above.
        allow_mixed: compare runs of different kinds of device, or of versions of one part.
    Returns: a table for each dataset and metric; and all that was found.
    Raises: MMBenchError if on a dataset fewer than two models have a run, or they may not be
        compared.
    """
    measured: list[Measured] = []
    answered: dict[str, BoolArray | None] = {}
    for name, of in datasets.items():
        found_there, answered[name] = _measured(name, of, metrics)
        measured += found_there
    family = compare_models(
        measured,
        baseline,
        references={name: of.references for name, of in datasets.items()},
        fusing={name: _fusing(of) for name, of in datasets.items()},
    )
    tables = []
    for name, metric in family.columns:
        of = datasets[name]
        found = _with_runs(of)
        records = {model: [run.record for run in results] for model, results in found.items()}
        every = [record for of_model in records.values() for record in of_model]
        mixed = check_mixture(every, allow_mixed)
        tables.append(
            Comparison(
                metric=next(e for e in every[0].metrics if (e.name, e.category) == (metric, None)),
                family=family.column((name, metric)),
                runs=found,
                conditions=conditions(records),
                failed=of.failed,
                notes=[
                    *_of_failures(every, answered[name]),
                    *(f"mixed {words}" for words in mixed),
                    *footnotes(every),
                ],
                references=[model for model in found if model in of.references],
                facts=of.facts,
            )
        )
    return tables, family


def _with_runs(of: DatasetRuns) -> dict[str, list[RunResult]]:
    return {model: list(results) for model, results in of.runs.items() if results}


def _of_failures(records: Sequence[Record], answered: BoolArray | None) -> list[str]:
    """What the numbers are over where queries failed, and how many failed in which run."""
    words = answered_words(answered)
    return ([words] if words else []) + failure_notes(records)


def _measured(
    name: str, of: DatasetRuns, metrics: Sequence[str]
) -> tuple[list[Measured], BoolArray | None]:
    """A dataset's models by each of the metrics that its records have.

    Returns: also which samples that is over, those that all runs answered; None for all.
    """
    found = _with_runs(of)
    if len(found) < 2:
        reasons = "; ".join(f"{m} seed {seed}: {why}" for (m, seed), why in of.failed.items())
        raise MMBenchError(f"fewer than two models have a run to be compared. {reasons}".strip())
    first = next(iter(found.values()))[0].record
    known = [entry.name for entry in first.metrics if entry.category is None]
    chosen = [metric for metric in metrics if metric in known] or [first.primary.name]
    by_seed = {m: {run.record.seed: run for run in results} for m, results in found.items()}
    kept = {m: {seed: run.statistics() for seed, run in of.items()} for m, of in by_seed.items()}
    kept = on_same_samples(kept)
    answered = next(iter(next(iter(kept.values())).values())).answered
    return [
        measured_runs(m, metric, by_seed[m], dataset=name, kept=kept[m])
        for metric in load_metrics(chosen)
        for m in by_seed
    ], answered


def _fusing(of: DatasetRuns) -> list[str]:
    """The models that fuse something, and so must be better than the references."""
    return [
        model
        for model, runs in of.runs.items()
        if runs and model not in of.references and runs[0].record.recipe.get("fusion")
    ]
