"""Tuning: every model the same number of trials, on validation alone, before it is compared.

A trial is a run of its own: trained as every run is, with a seed that no reported run has, and
scored on validation; the test split is not read. Its record lies below OUT/tuning, apart from
results. What is tried next depends on the trials before alone, so that the same command, called
again after it was killed, finds the records of those that it made and goes on.

Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011 (the tree-
structured Parzen estimator), as optuna has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.experiments.execution import outcomes
from mmbench.experiments.outcome import Failed
from mmbench.experiments.plan import Splits, make_plan
from mmbench.experiments.result import RunResult
from mmbench.experiments.search_space import Space, setting_of
from mmbench.experiments.watch import SILENT, Watch
from mmbench.metrics.base import Metric
from mmbench.recipe import Recipe
from mmbench.records.locks import held
from mmbench.records.record import TuningEntry
from mmbench.records.store import TRIALS_MARK, rewrite_record
from mmbench.records.writing import writing_to
from mmbench.request import RunRequest
from mmbench.study import HERE, Engine

TUNING = "tuning"  # the folder below `out` that trials are kept in
_SEED = 1_000_000  # of trials, unless a reported run has it


@dataclass(frozen=True)
class Trial:
    """One try.

    Attributes:
        settings: that were tried, by key.
        value: of the primary metric on validation; None if the training failed.
        failed: why, in a line.
        reused: whether its record was there before.
    """

    settings: Mapping[str, Any]
    value: float | None
    failed: str | None = None
    reused: bool = False


@dataclass(frozen=True)
class Tuned:
    """What came of a model's trials on a dataset.

    Attributes:
        model: its name.
        metric: what chose, on validation.
        keys: of the space.
        trials: in order; the first one is the recipe as it is, where the space holds it.
    """

    model: str
    metric: Metric
    keys: Sequence[str]
    trials: Sequence[Trial]

    @property
    def values(self) -> list[float]:
        """Of the trials that did not fail."""
        return [trial.value for trial in self.trials if trial.value is not None]

    @cached_property
    def best(self) -> Trial | None:
        """The first one of those that did best; None if all failed."""
        sign = 1 if self.metric.higher_is_better else -1
        done = [trial for trial in self.trials if trial.value is not None]
        return max(done, key=lambda trial: sign * (trial.value or 0.0), default=None)

    @property
    def spread(self) -> float | None:
        """Standard deviation (n - 1) over trials; None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def entry(self) -> TuningEntry | None:
        """For the record of a run with the best settings; None if all trials failed."""
        if self.best is None or self.best.value is None:
            return None
        return TuningEntry(
            trials=len(self.trials),
            failed=len(self.trials) - len(self.values),
            keys=list(self.keys),
            metric=self.metric.signature,
            best=self.best.value,
            low=min(self.values),
            high=max(self.values),
            sd=self.spread,
        )

    def text(self) -> str:
        """In a line: how many, what was chosen, and how far apart the trials lie."""
        failed = len(self.trials) - len(self.values)
        parts = [f"{len(self.trials)} trials on validation"]
        if failed:
            parts.append(f"of which {failed} failed")
        if self.best is not None:
            scale = self.metric.scale
            chosen = ", ".join(f"{key} {value}" for key, value in self.best.settings.items())
            low, high = min(self.values) * scale, max(self.values) * scale
            parts.append(f"best {(self.best.value or 0.0) * scale:.2f} with {chosen}")
            parts.append(f"all from {low:.2f} to {high:.2f}")
            if self.spread is not None:
                parts.append(
                    f"sd over trials {self.spread * scale:.2f}, which is not that of seeds"
                )
        return "; ".join(parts)


class Search:
    """What is tried of one model on one dataset, trial after trial.

    Args:
        model: its name.
        request: the run that is to be tuned; its overrides stand, and are not searched.
        space: what is tried.
        recipe: resolved, as it is without tuning.
        metric: the primary one of the dataset.
        reported: the seeds of the runs that will be reported.
    """

    def __init__(
        self,
        model: str,
        request: RunRequest,
        space: Space,
        recipe: Recipe,
        metric: Metric,
        reported: Sequence[int],
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.model, self.metric, self.trials = model, metric, list[Trial]()
        self._space = {key: d for key, d in space.items() if key not in request.overrides}
        self._request = request.model_copy(
            update={
                "split": "validation",
                "seed": next(
                    n for n in range(_SEED, _SEED + len(reported) + 1) if n not in reported
                ),
                "limit": None,
                "out": request.out / TUNING,
            }
        )
        self._study = optuna.create_study(
            direction="maximize" if metric.higher_is_better else "minimize",
            sampler=optuna.samplers.TPESampler(seed=0),
        )
        own = {key: d.given(setting_of(recipe, key)) for key, d in self._space.items()}
        if None not in own.values():
            self._study.enqueue_trial(own)

    def ask(self) -> RunRequest:
        """The next trial's run."""
        self._asked = self._study.ask()
        self._settings = {key: d.suggest(self._asked, key) for key, d in self._space.items()}
        overrides = self._request.overrides | self._settings
        return self._request.model_copy(update={"overrides": overrides})

    def tell(self, outcome: RunResult | Failed) -> Trial:
        """What came of the last one asked for."""
        import optuna

        value = None if isinstance(outcome, Failed) else outcome.value
        if value is None or math.isnan(value):
            reason = outcome.reason if isinstance(outcome, Failed) else "its value is not a number"
            trial = Trial(self._settings, None, reason)
            self._study.tell(self._asked, state=optuna.trial.TrialState.FAIL)
        else:
            assert isinstance(outcome, RunResult)
            trial = Trial(self._settings, value, reused=outcome.reused)
            self._study.tell(self._asked, value)
        self.trials.append(trial)
        return trial

    def tuned(self) -> Tuned:
        """What came of all of them."""
        return Tuned(self.model, self.metric, list(self._space), self.trials)


def recorded_trials(search: Search, count: int, read: dict[str, Splits]) -> int:
    """How many of a model's trials have records: up to the first that has none, or all.

    Args:
        search: a new one.
        count: how many trials there are to be.
        read: splits that were read.
    """
    from mmbench.experiments.result import load_run

    for number in range(count):
        plan = make_plan(search.ask(), read)
        if not plan.folder.exists() or plan.request.force:
            return number
        search.tell(load_run(plan.folder))
    return count


def run_trials(
    searches: Sequence[Search],
    count: int,
    jobs: int,
    watch: Watch = SILENT,
    read: dict[str, Splits] | None = None,
    told: Callable[[Search, Trial], None] = lambda *_: None,
    engine: Engine = HERE,
) -> None:
    """Carry out trials of all models, each model's one after the other, models side by side.

    Args:
        searches: of each model on each dataset.
        count: trials of each.
        jobs: how many at a time.
        watch: told of progress.
        read: splits that were read.
        told: called after each trial.
        engine: what carries them out.
    """
    for out in {search._request.out for search in searches}:
        mark_as_trials(out)
    for _ in range(count):
        asked = [(search.ask(), search) for search in searches]
        requests = [request for request, _ in asked]
        with closing(outcomes(requests, min(jobs, len(requests)), watch, read, engine)) as ended:
            for request, outcome in ended:
                search = next(search for other, search in asked if other is request)
                told(search, search.tell(outcome))


def with_tuning(result: RunResult, entry: TuningEntry | None, out: Path, watch: Watch) -> RunResult:
    """A run whose record says what chose its settings; it is written anew if it does not.

    Args:
        result: of a run with these settings.
        entry: what chose them; None where nothing did.
        out: where records are kept.
        watch: told if another process has the record.
    """
    if entry is None or result.record.tuning == entry:
        return result
    with held(out, result.path, watch.says):
        changed = result.record.model_copy(update={"tuning": entry})
        return replace(result, record=rewrite_record(result.path, changed))


def mark_as_trials(folder: Path) -> None:
    """Say of a folder that its records are trials, so that whoever looks for results passes by."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRIALS_MARK).touch()
