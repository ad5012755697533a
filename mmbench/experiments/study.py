"""A study carried out: references beside the models, equal budgets, tuning, runs, one comparison.

`prepare` settles all that can be known before anything is trained (`study_plan.py` says what it
takes), `carry_out_study` does it. What has a record is not run again, so that a study that was
stopped or killed goes on where it was and ends in the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmbench import registry
from mmbench.errors import Interrupted, MMBenchError, did_you_mean
from mmbench.experiments.compare import Comparison, DatasetRuns, compare_datasets
from mmbench.experiments.conditions import unequal_training
from mmbench.experiments.execution import Failed, outcomes, threads_beside
from mmbench.experiments.plan import Plan, Splits, make_plan, recipe_name
from mmbench.experiments.references import references_for
from mmbench.experiments.result import RunResult
from mmbench.experiments.search_space import USUAL, check_space, read_space
from mmbench.experiments.study_plan import Costs, StudyPlan, free_megabytes, why_new
from mmbench.experiments.training_state import TrainingState, any_kept
from mmbench.experiments.tune import TUNING, Search, Trial, Tuned, recorded_trials, run_trials
from mmbench.experiments.watch import SILENT, Watch
from mmbench.request import RunRequest, run_request
from mmbench.statistics.family import Family
from mmbench.statistics.ranks import Ranks, rank_models, why_no_ranks
from mmbench.study import Study, keep_study
from mmbench.task import Task

_KEPT = "Its training is kept: the same command goes on after its last whole epoch."

Told = Callable[[str, int, RunResult], None]
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Entrant:
    """A model that is compared on a dataset.

    Attributes:
        name: of the model.
        plan: of its run with the first seed.
        reference: whether it fuses nothing, and is there to be beaten.
    """

    name: str
    plan: Plan
    reference: bool

    def with_overrides(self, changes: Mapping[str, object], read: dict[str, Splits]) -> Entrant:
        """The same with other settings."""
        request = self.plan.request
        request = request.model_copy(update={"overrides": request.overrides | dict(changes)})
        return replace(self, plan=make_plan(request, read))


@dataclass
class Prepared:
    """A study, settled.

    Attributes:
        study: as it is to be carried out.
        entrants: by dataset ("vqa/easy_vqa"), the models that are compared on it.
        facts: by dataset, what was settled, under a word each.
        read: splits that were read.
        plan: what it takes.
    """

    study: Study
    entrants: dict[str, list[Entrant]]
    facts: dict[str, list[tuple[str, str]]]
    read: dict[str, Splits]
    plan: StudyPlan = field(default_factory=StudyPlan)

    def label(self, title: str, name: str) -> str:
        """What a message calls a model."""
        return name if len(self.entrants) == 1 else f"{title}: {name}"

    def requests(self) -> Iterator[tuple[str, RunRequest]]:
        """Every run, with its dataset: all models with a seed before the next seed."""
        for title, entrants in self.entrants.items():
            for seed in self.study.seeds:
                for entrant in entrants:
                    yield title, entrant.plan.request.model_copy(update={"seed": seed})


@dataclass(frozen=True)
class StudyResult:
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


def run_study(
    study: Study,
    *,
    watch: Watch = SILENT,
    told: Told = lambda *_: None,
    notice: Notice = lambda _: None,
) -> StudyResult:
    """Carry out a study.

    Args:
        study: what is asked for.
        watch: told of each run's progress.
        told: called with model, seed and result after each run.
        notice: called with what should be known, most of it before hours are spent.
    Raises: MMBenchError for a mistake, before anything is trained where it can be seen.
    """
    return carry_out_study(prepare(study), watch=watch, told=told, notice=notice)


def prepare(study: Study) -> Prepared:
    """Find everything by name, settle widths, and count what is to be done. Nothing is written.

    Raises: MMBenchError for whatever does not exist or does not fit.
    """
    _check_models(study)
    if not study.dataset and len(study.task) == 1:
        default = registry.load("tasks", study.task[0]).default_dataset
        study = study.model_copy(update={"dataset": [default]})
    settings = study.run_settings()
    if study.jobs > 1 and study.threads is None:
        settings["threads"] = threads_beside(study.jobs)
    read: dict[str, Splits] = {}
    made = Prepared(study, {}, {}, read)
    for task, dataset in _places(study):
        of_place = {"task": task.name, "dataset": dataset, "train": True, "seed": study.seeds[0]}

        def entrant(model: str, reference: bool, **changes: object) -> Entrant:
            request = run_request(**{"model": model} | settings | of_place | changes)  # noqa: B023
            return Entrant(recipe_name(model), make_plan(request, read), reference)

        entrants = [entrant(model, False) for model in study.models]
        spec = entrants[0].plan.dataset
        title = f"{task.name}/{spec.name}"
        if title in made.entrants:
            raise MMBenchError(f"{title} is named twice: {dataset}")
        made.entrants[title] = entrants
        facts = made.facts[title] = []
        names = task.references(spec) if study.references is True else study.references or ()
        if study.references is False:
            facts.append(
                ("references", "left out: nothing tells whether these models fuse anything")
            )
        asked = {e.name: e.plan.recipe for e in entrants}
        for found in references_for(task, spec, names, asked, study.overrides):
            if found.overrides is None:
                at = list(asked).index(found.model)
                entrants[at] = replace(entrants[at], reference=True)
                continue
            try:
                entrants.append(entrant(found.model, True, overrides=found.overrides))
            except MMBenchError as error:
                facts.append(("references", f"{recipe_name(found.model)} is left out: {error}"))
        _check_baseline(study, title, [e.name for e in entrants])
    _check_metrics(study, made)
    if study.budget != "as-is":
        _solve(made)
    made.plan = _plan(made)
    return made


def carry_out_study(
    made: Prepared,
    *,
    watch: Watch = SILENT,
    told: Told = lambda *_: None,
    notice: Notice = lambda _: None,
) -> StudyResult:
    """Do what was prepared: tune, run, compare. Arguments as of `run_study`."""
    study = made.study
    for label, seed, why in made.plan.new:
        notice(f"{label} seed {seed} is new: {why}")
    for words in made.plan.warnings:
        notice(f"warning: {words}")
    notice(made.plan.summary())
    kept = [f"{title}: {word}: {words}" for title, of in made.facts.items() for word, words in of]
    file = keep_study(study, kept)
    tuned = _tune(made, watch, notice) if study.tune else {}
    if tuned:
        kept += [f"{title}: {name}: {found.text()}" for (title, name), found in tuned.items()]
        file = keep_study(study, kept)
    runs, failed, reused = _run(made, watch, told, notice)
    result = _compared(made, runs, failed, tuned)
    notice(_words_of_reuse(len(runs) + len(failed), reused))
    return replace(result, reused=reused, runs=len(runs) + len(failed), file=file)


def _check_models(study: Study) -> None:
    models, names = study.models, [recipe_name(model) for model in study.models]
    if len(models) < 2:
        raise MMBenchError(f"compare needs at least two models, got {', '.join(models) or 'none'}")
    if len(set(names)) < len(models):
        raise MMBenchError(f"a model is named twice: {', '.join(models)}")
    if study.data_dir is not None and len(study.dataset) > 1:
        raise MMBenchError(
            "--data-dir is of one dataset, and here are several: let each dataset's YAML file say "
            "its own (`data_dir: ...`)"
        )


def _check_baseline(study: Study, title: str, names: Sequence[str]) -> None:
    if study.baseline is not None and study.baseline not in names:
        raise MMBenchError(
            f"the baseline {study.baseline} is not among the models: {', '.join(names)}."
            f"{did_you_mean(study.baseline, names)}"
        )


def _check_metrics(study: Study, made: Prepared) -> None:
    known = {m.name for of in made.entrants.values() for m in of[0].plan.metrics}
    for name in study.metrics:
        if name not in known:
            raise MMBenchError(
                f"--metrics names {name}, by which none of these datasets is scored."
                f"{did_you_mean(name, known)} They are by {', '.join(sorted(known))}."
            )


def _places(study: Study) -> list[tuple[Task, str | None]]:
    """Each task with each dataset that is for it.

    Raises: MMBenchError for a dataset that is for none of the tasks, or a task without one.
    """
    tasks: list[Task] = [registry.load("tasks", name)() for name in study.task]
    if not study.dataset:
        return [(task, None) for task in tasks]
    found: list[tuple[Task, str | None]] = []
    problems: dict[str, list[MMBenchError]] = {name: [] for name in study.dataset}
    for task in tasks:
        for name in study.dataset:
            try:
                task.dataset(name)
            except MMBenchError as error:
                problems[name].append(error)
            else:
                found.append((task, name))
    for errors in problems.values():
        if len(errors) == len(tasks):
            raise errors[0]
    without = [task.name for task in tasks if task not in [task for task, _ in found]]
    if without:
        raise MMBenchError(
            f"none of these datasets is for {without[0]}: {', '.join(study.dataset)}. "
            "`mmbench list datasets` shows all."
        )
    return found


def _solve(made: Prepared) -> None:
    """Give each model the width at which it costs what the baseline, or the first model, does."""
    from mmbench.experiments.budget import TOLERANCE, WHAT, solve_widths

    budget = made.study.budget
    for title, entrants in made.entrants.items():
        anchor = made.study.baseline or entrants[0].name
        requests = {e.name: e.plan.request for e in entrants}
        found, refused = solve_widths(budget, requests, anchor, made.read)
        for at, entrant in enumerate(entrants):
            name = entrant.name
            if name in refused and not entrant.reference:
                raise MMBenchError(refused[name])
            if name in refused:
                made.facts[title].append(("budget", f"{refused[name]}: left at its own width"))
            elif name in found and found[name].width != entrant.plan.recipe.width:
                entrants[at] = entrant.with_overrides({"width": found[name].width}, made.read)
        shown = ", ".join(f"{name} {s.width} ({s.cost:,})" for name, s in found.items())
        made.facts[title].insert(
            0,
            (
                "budget",
                f"{WHAT[budget]} to {TOLERANCE:.0%} of those of {anchor}, by widths: {shown}",
            ),
        )


def _plan(made: Prepared) -> StudyPlan:
    study, costs = made.study, Costs(made.study.out)
    plan = StudyPlan(
        title=study.name,
        models={title: [e.name for e in of] for title, of in made.entrants.items()},
        seeds=study.seeds,
        facts=[fact for of in made.facts.values() for fact in of],
        free=free_megabytes(study.out),
    )
    times: list[float | None] = []
    sizes: list[float | None] = []

    def count(run: Plan, times_over: int) -> None:
        seconds, megabytes = costs.of(run)
        times.append(None if seconds is None else seconds * times_over)
        sizes.append(None if megabytes is None else megabytes * times_over)

    for title, entrants in made.entrants.items():
        of = {e.name: e for e in entrants}
        untold: set[str] = set()
        for entrant, search in _searches(made, title):
            tried = recorded_trials(search, study.tune, made.read)
            plan.trials, plan.tried = plan.trials + study.tune, plan.tried + tried
            if tried < study.tune:
                untold.add(entrant.name)
                count(entrant.plan, study.tune - tried)
            elif (best := search.tuned().best) is not None:
                of[entrant.name] = entrant.with_overrides(best.settings, made.read)
        marks = unequal_training({name: e.plan.recipe.settings() for name, e in of.items()})
        for name, words in marks.items():
            plan.warnings.append(f"{name} is not trained as the others are: {words}")
        for seed in study.seeds:
            for name, entrant in of.items():
                run = make_plan(entrant.plan.request.model_copy(update={"seed": seed}), made.read)
                why = "its settings come of tuning" if name in untold else why_new(run)
                if why is None:
                    plan.recorded += 1
                else:
                    plan.new.append((made.label(title, name), seed, why))
                    count(run, 1)
    known = [time for time in times if time is not None]
    if len(known) == len(times):
        plan.seconds = sum(known) / study.jobs
    room = [size for size in sizes if size is not None]
    if len(room) == len(sizes):
        plan.megabytes = sum(room)
    if plan.megabytes is not None and plan.free is not None and plan.megabytes > plan.free:
        plan.warnings.append("there is less room on the disk than this takes")
    return plan


def _searches(made: Prepared, title: str) -> list[tuple[Entrant, Search]]:
    """What is to be tuned on a dataset: the same space for all, and what a recipe adds.

    Raises: MMBenchError for a key that a model does not have.
    """
    study, found = made.study, []
    if not study.tune:
        return []
    common = {**USUAL, **read_space(study.search, study.name or "compare")}
    for entrant in made.entrants[title]:
        recipe = entrant.plan.recipe
        if recipe.predictor:
            continue
        own = read_space(recipe.search, entrant.name)
        keys = {key: d for key, d in common.items() if not (entrant.reference and _of_fusion(key))}
        check_space(keys, recipe, entrant.name)
        check_space(own, recipe, entrant.name)
        run = entrant.plan
        search = Search(
            entrant.name, run.request, {**keys, **own}, recipe, run.metrics[0], study.seeds
        )
        found.append((entrant, search))
    return found


def _of_fusion(key: str) -> bool:
    return key.partition(".")[0] in ("fusion", "losses", "balance")


def _tune(made: Prepared, watch: Watch, notice: Notice) -> dict[tuple[str, str], Tuned]:
    """Carry out all trials, and give each model the settings that did best."""
    study = made.study
    titles = {
        id(search): (title, entrant, search)
        for title in made.entrants
        for entrant, search in _searches(made, title)
    }

    def told(search: Search, trial: Trial) -> None:
        label = made.label(titles[id(search)][0], search.model)
        what = trial.failed or f"{(trial.value or 0.0) * search.metric.scale:.2f} on validation"
        again = " (recorded before)" if trial.reused else ""
        notice(f"{label} trial {len(search.trials)} of {study.tune}: {what}{again}")

    searches = [search for _, _, search in titles.values()]
    with _stoppable(study.out / TUNING):
        run_trials(searches, study.tune, study.jobs, watch, made.read, told)
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
    made: Prepared, watch: Watch, told: Told, notice: Notice
) -> tuple[dict[Run, RunResult], dict[Run, str], list[tuple[str, int]]]:
    """Carry out all runs.

    Returns: results; why there is none; the model and seed of those that had a record before.
    """
    study = made.study
    asked = list(made.requests())
    plans = [make_plan(request, made.read) for _, request in asked]
    runs = [(t, p.model, p.seed) for (t, _), p in zip(asked, plans, strict=True)]
    if study.compile and (study.force or not all(plan.folder.exists() for plan in plans)):
        _check_compiler(study.device)
    of = {id(request): (run, p) for (_, request), run, p in zip(asked, runs, plans, strict=True)}
    found: dict[Run, RunResult] = {}
    failed: dict[Run, str] = {}
    with _stoppable(*{plan.folder.parent for plan in plans}):
        requests = [request for _, request in asked]
        with closing(outcomes(requests, study.jobs, watch, made.read)) as ended:
            for request, outcome in ended:
                run, plan = of[id(request)]
                if isinstance(outcome, Failed):
                    kept = outcome.broke and TrainingState(plan.folder).exists()
                    failed[run] = f"{outcome.reason}. {_KEPT}" if kept else outcome.reason
                    notice(f"{made.label(*run[:2])} seed {run[2]} failed: {failed[run]}")
                else:
                    found[run] = outcome
                    told(run[1], run[2], outcome)
    return (
        {run: found[run] for run in runs if run in found},
        {run: failed[run] for run in runs if run in failed},
        [
            (made.label(title, name), seed)
            for title, name, seed in runs
            if (title, name, seed) in found and found[title, name, seed].reused
        ],
    )


def _check_compiler(device: str) -> None:
    from mmbench.compiled import check_compiler
    from mmbench.training.device import choose_device

    check_compiler(choose_device(device))


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
            tuning={
                name: f"{len(found.trials)} trials over {', '.join(found.keys)}"
                for (t, name), found in tuned.items()
                if t == title
            },
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


def _words_of_reuse(runs: int, reused: Sequence[tuple[str, int]]) -> str:
    """In a line, which runs had a record before.

    >>> _words_of_reuse(4, [("a", 0), ("a", 1), ("b", 0)])
    'reused 3 of 4 runs: a (0, 1), b (0)'
    """
    if len(reused) in (0, runs):
        return f"{'all' if reused else 'none'} of {runs} runs were recorded before"
    seeds: dict[str, list[int]] = {}
    for label, seed in reused:
        seeds.setdefault(label, []).append(seed)
    shown = ", ".join(f"{label} ({', '.join(map(str, of))})" for label, of in seeds.items())
    return f"reused {len(reused)} of {runs} runs: {shown}"
