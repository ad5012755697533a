"""A study carried out: references beside the models, equal budgets, tuning, runs, one comparison.

`prepare` (`study_setup.py`) settles all that can be known before anything is trained and says what
it takes (`study_plan.py`); `carry_out_study` does it. What has a record is not run again, so that a
study that was stopped or killed goes on where it was and ends in the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.compare import Comparison, DatasetRuns, compare_datasets
from mmbench.experiments.execution import outcomes
from mmbench.experiments.outcome import Failed
from mmbench.experiments.plan import make_plan
from mmbench.experiments.result import RunResult
from mmbench.experiments.shown import Shown
from mmbench.experiments.study_plan import runs_in_words
from mmbench.experiments.study_setup import Prepared, prepare
from mmbench.experiments.training_state import TrainingState, any_kept
from mmbench.experiments.tune import TUNING, Search, Trial, Tuned, run_trials, with_tuning
from mmbench.experiments.watch import SILENT, Watch, shown
from mmbench.option_words import as_called
from mmbench.statistics.family import Family
from mmbench.statistics.ranks import Ranks, rank_models, why_no_ranks
from mmbench.study import Study, keep_study

if TYPE_CHECKING:
    import pandas as pd

    from mmbench.experiments.robustness import RobustnessComparison

_KEPT = "Its training is kept: the same command goes on after its last whole epoch."

Told = Callable[[str, int, RunResult], None]
Notice = Callable[[str], None]


@dataclass(frozen=True, repr=False)
class StudyResult(Shown):
    """What a study found.

    Attributes:
        study: as it was carried out.
        tables: a comparison for each dataset and metric; p-values are of the family of all.
        family: all of it.
        ranks: of the models over the datasets; None where `no_ranks` says why not.
        no_ranks: in words; empty where there is one dataset.
        left_out: by dataset without a table, why.
        failed: by dataset, model and seed, why a run gave no result.
        tuned: by dataset and model.
        runs: how many there were, and
        reused: what the models were called whose runs had a record before, with the seed.
        file: where the study is kept.
        robustness: by dataset, what the models keep under damage, where that was asked for.
    """

    study: Study
    tables: list[Comparison]
    family: Family
    ranks: Ranks | None
    no_ranks: str
    left_out: Mapping[str, str]
    failed: Mapping[tuple[str, str, int], str]
    tuned: Mapping[tuple[str, str], Tuned]
    runs: int
    reused: Sequence[tuple[str, int]]
    file: Path
    robustness: Mapping[str, RobustnessComparison] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """The rows of all tables (see `Comparison.to_frame`), with their dataset and metric."""
        import pandas as pd

        frames = []
        for (dataset, metric), table in zip(self.family.columns, self.tables, strict=True):
            frame = table.to_frame()
            frame.insert(0, "dataset", dataset)
            frame.insert(1, "metric", metric)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)


def run_study(
    study: Study,
    *,
    watch: Watch | None = None,
    told: Told = lambda *_: None,
    notice: Notice = lambda _: None,
) -> StudyResult:
    """Carry out a study.

    Args:
        study: what is asked for.
        watch: told of each run's progress; it is shown in a terminal or a notebook if None.
        told: called with model, seed and result after each run.
        notice: called with what should be known, most of it before hours are spent.
    Raises: MMBenchError for a mistake, before anything is trained where it can be seen.
    """
    return carry_out_study(prepare(study), watch=shown(watch), told=told, notice=notice)


def carry_out_study(
    made: Prepared,
    *,
    watch: Watch = SILENT,
    told: Told = lambda *_: None,
    notice: Notice = lambda _: None,
) -> StudyResult:
    """Do what was prepared: tune, run, compare. Arguments as of `run_study`."""
    study = made.study
    for words in made.plan.new_by_reason():
        notice(as_called(f"new: {words}"))
    for words in made.plan.warnings:
        notice(f"warning: {words}")
    notice(made.plan.summary())
    kept = [f"{title}: {word}: {words}" for title, of in made.facts.items() for word, words in of]
    file = keep_study(study, kept)
    tuned = _tune(made, watch, notice) if study.tune else {}
    if tuned:
        kept += [f"{title}: {name}: {found.text()}" for (title, name), found in tuned.items()]
        file = keep_study(study, kept)
    runs, failed, reused = _run(made, tuned, watch, told, notice)
    result = _compared(made, runs, failed, tuned)
    counted = len(runs) + len(failed)
    notice(_words_of_reuse(counted, sum(map(len, made.entrants.values())), reused))
    robustness = _under_damage(made, result, watch) if study.robustness else {}
    return replace(result, reused=reused, runs=counted, file=file, robustness=robustness)


def _tune(made: Prepared, watch: Watch, notice: Notice) -> dict[tuple[str, str], Tuned]:
    """Carry out all trials, and give each model the settings that did best."""
    study = made.study
    titles = {
        id(search): (title, entrant, search)
        for title in made.entrants
        for entrant, search in made.searches(title)
    }

    def told(search: Search, trial: Trial) -> None:
        label = made.label(titles[id(search)][0], search.model)
        what = trial.failed or f"{(trial.value or 0.0) * search.metric.scale:.2f} on validation"
        again = " (recorded before)" if trial.reused else ""
        notice(f"{label} trial {len(search.trials)} of {study.tune}: {what}{again}")

    searches = [search for _, _, search in titles.values()]
    with _stoppable(study.out / TUNING):
        run_trials(searches, study.tune, study.jobs, watch, made.read, told, study.carried_out_by)
    found: dict[tuple[str, str], Tuned] = {}
    for title, entrant, search in titles.values():
        tuned = found[title, entrant.name] = search.tuned()
        made.facts[title].append(("tuning", f"{entrant.name}: {tuned.text()}"))
        if tuned.best is not None:
            of = made.entrants[title]
            at = [e.name for e in of].index(entrant.name)
            of[at] = entrant.with_overrides(tuned.best.settings, made.read)
    return found


@contextmanager
def _stoppable(*folders: Path) -> Iterator[None]:
    """Within, Ctrl-C says what is kept of trainings in these folders, or below them."""
    try:
        yield
    except KeyboardInterrupt:  # while others run for it
        kept = any_kept(folders)
        raise Interrupted(f"stopped. {_KEPT if kept else ''}".strip()) from None


Run = tuple[str, str, int]  # dataset, model, seed


def _run(
    made: Prepared,
    tuned: Mapping[tuple[str, str], Tuned],
    watch: Watch,
    told: Told,
    notice: Notice,
) -> tuple[dict[Run, RunResult], dict[Run, str], list[tuple[str, int]]]:
    """Carry out all runs.

    Returns: results; why there is none; the model and seed of those that had a record before.
    """
    study = made.study
    asked = list(made.requests())
    plans = [make_plan(request, made.read) for _, request in asked]
    runs = [(t, p.model, p.seed) for (t, _), p in zip(asked, plans, strict=True)]
    if study.force or not all(plan.folder.exists() for plan in plans):
        _check_device(study)
    of = {id(request): (run, p) for (_, request), run, p in zip(asked, runs, plans, strict=True)}
    found: dict[Run, RunResult] = {}
    failed: dict[Run, str] = {}
    with _stoppable(*{plan.folder.parent for plan in plans}):
        requests = [request for _, request in asked]
        with closing(
            outcomes(requests, study.jobs, watch, made.read, study.carried_out_by)
        ) as ended:
            for request, outcome in ended:
                run, plan = of[id(request)]
                if isinstance(outcome, Failed):
                    kept = outcome.broke and TrainingState(plan.folder).exists()
                    failed[run] = f"{outcome.reason}. {_KEPT}" if kept else outcome.reason
                    notice(f"{made.label(*run[:2])} seed {run[2]} failed: {failed[run]}")
                else:
                    chosen = tuned[run[:2]].entry() if run[:2] in tuned else None
                    found[run] = with_tuning(outcome, chosen, study.out, watch)
                    told(run[1], run[2], found[run])
    return (
        {run: found[run] for run in runs if run in found},
        {run: failed[run] for run in runs if run in failed},
        [
            (made.label(title, name), seed)
            for title, name, seed in runs
            if (title, name, seed) in found and found[title, name, seed].reused
        ],
    )


def _under_damage(
    made: Prepared, result: StudyResult, watch: Watch
) -> dict[str, RobustnessComparison]:
    """Ask the models of each dataset that has a table again, with their inputs damaged."""
    from mmbench.experiments.robustness import robustness_of
    from mmbench.experiments.under_damage import Settings

    study = result.study
    found: dict[str, RobustnessComparison] = {}
    for (title, _), table in zip(result.family.columns, result.tables, strict=True):
        if title not in found:  # the tables of a dataset's metrics are of the same runs
            settings = Settings(
                corruptions=study.corruptions,
                device=study.device,
                threads=study.threads,
                batch_size=study.batch_size,
                dataset=made.entrants[title][0].plan.request.dataset,
                data_dir=study.data_dir,
                watch=watch,
            )
            found[title] = robustness_of(table.runs, settings)
    return found


def _check_device(study: Study) -> None:
    """Raise MMBenchError where nothing can be computed as a study says, before its runs begin."""
    from mmbench.compiled import check_compiler
    from mmbench.training.device import choose_device

    device = choose_device(study.device)
    if study.compile:
        check_compiler(device)


def _compared(
    made: Prepared,
    runs: Mapping[Run, RunResult],
    failed: Mapping[Run, str],
    tuned: Mapping[tuple[str, str], Tuned],
) -> StudyResult:
    study = made.study
    datasets: dict[str, DatasetRuns] = {}
    left_out: dict[str, str] = {}
    for title, entrants in made.entrants.items():
        of = DatasetRuns(
            runs={
                e.name: [runs[title, e.name, s] for s in study.seeds if (title, e.name, s) in runs]
                for e in entrants
            },
            failed={(m, seed): why for (t, m, seed), why in failed.items() if t == title},
            references=[e.name for e in entrants if e.reference],
            facts=made.facts[title],
        )
        reason = _no_table(of, study.baseline)
        if reason is None:
            datasets[title] = of
        elif len(made.entrants) == 1:
            raise MMBenchError(reason)
        else:
            left_out[title] = reason
    if not datasets:
        raise MMBenchError("; ".join(f"{title}: {why}" for title, why in left_out.items()))
    tables, family = compare_datasets(datasets, metrics=study.metrics, baseline=study.baseline)
    ranks, no_ranks = _ranks(tables, family)
    return StudyResult(
        *(study, tables, family, ranks, no_ranks, left_out, failed, tuned),
        runs=len(runs),
        reused=(),
        file=study.out,
    )


def _no_table(of: DatasetRuns, baseline: str | None) -> str | None:
    """Why a dataset's models cannot be compared; None if they can."""
    with_runs = [model for model, results in of.runs.items() if results]
    reasons = "; ".join(f"{m} seed {seed}: {why}" for (m, seed), why in of.failed.items())
    if len(with_runs) < 2:
        return f"fewer than two models have a run to be compared. {reasons}".strip()
    if baseline is not None and baseline not in with_runs:
        return f"the baseline {baseline} has no run to be compared with. {reasons}".strip()
    return None


def _ranks(tables: Sequence[Comparison], family: Family) -> tuple[Ranks | None, str]:
    """By the first metric of each dataset, if there are enough of them; else why not."""
    first: dict[str, Comparison] = {}
    for (dataset, _), table in zip(family.columns, tables, strict=True):
        first.setdefault(dataset, table)
    if len(first) < 2:
        return None, ""
    values = {name: {e.model: e.mean for e in t.estimates} for name, t in first.items()}
    on_all = [m for m in next(iter(values.values())) if all(m in of for of in values.values())]
    if reason := why_no_ranks(len(on_all), len(values)):
        return None, reason
    return rank_models(values, {n: t.metric.higher_is_better for n, t in first.items()}), ""


def _words_of_reuse(runs: int, models: int, reused: Sequence[tuple[str, int]]) -> str:
    """In a line, which runs had a record before.

    >>> _words_of_reuse(4, 2, [("a", 0), ("a", 1), ("b", 0)])
    'reused 3 of 4 runs: a (0, 1), b (0)'
    """
    if len(reused) in (0, runs):
        return f"{'all' if reused else 'none'} of {runs} runs were recorded before"
    return f"reused {len(reused)} of {runs} runs: {runs_in_words(reused, models)}"
