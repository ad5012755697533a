"""A study settled: everything found by name and checked, references added, widths solved for.

Nothing is trained or written for it, so that a mistake costs no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmbench import registry
from mmbench.checks.parts import check_kind, problems, refused_by_compare
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.execution import threads_beside
from mmbench.experiments.plan import Plan, Splits, make_plan, recipe_name
from mmbench.experiments.references import references_for
from mmbench.experiments.search_space import USUAL, check_space, read_space
from mmbench.experiments.study_plan import StudyPlan, count_up
from mmbench.experiments.tune import Search
from mmbench.request import RunRequest, run_request
from mmbench.study import Study
from mmbench.task import Task
from mmbench.training.kinds import device_kind
from mmbench.versions import is_own


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

    def searches(self, title: str) -> list[tuple[Entrant, Search]]:
        """What is to be tuned on a dataset: the same space for all, and what a recipe adds.

        Raises: MMBenchError for a key that a model does not have.
        """
        study, found = self.study, list[tuple[Entrant, Search]]()
        if not study.tune:
            return []
        common = {**USUAL, **read_space(study.search, study.name or "compare")}
        for entrant in self.entrants[title]:
            recipe = entrant.plan.recipe
            if recipe.predictor:
                continue
            own = read_space(recipe.search, entrant.name)
            keys = {
                key: d for key, d in common.items() if not (entrant.reference and _of_fusion(key))
            }
            check_space(keys, recipe, entrant.name)
            check_space(own, recipe, entrant.name)
            run = entrant.plan
            search = Search(
                entrant.name, run.request, {**keys, **own}, recipe, run.metrics[0], study.seeds
            )
            found.append((entrant, search))
        return found


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
    if study.engine == "ray" and study.threads is None and device_kind(study.device) == "cpu":
        settings["threads"] = 1  # as many on each machine, however many cores it has
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
    _check_robustness(study, made)
    _check_contracts(made)
    if study.budget != "as-is":
        _solve(made)
    made.plan = count_up(made)
    return made


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


def _check_robustness(study: Study, made: Prepared) -> None:
    if study.corruptions is not None and not study.robustness:
        raise MMBenchError("--corruptions says what --robustness asks: give that too")
    if study.robustness:
        from mmbench.experiments.under_damage import check_request

        for entrants in made.entrants.values():
            check_request(entrants[0].plan.request, study.models, study.corruptions)


def _check_contracts(made: Prepared) -> None:
    """Refuse parts of others that do not keep their contract, or say so where that was asked for.

    mmbench's own are checked by its tests.
    """
    checked: dict[str, list[str]] = {}
    for title, entrants in made.entrants.items():
        for entrant in entrants:
            for kind, part in entrant.plan.recipe.parts().values():
                if not refused_by_compare(kind) or is_own(kind, part.name):
                    continue
                key = f"{kind} {part.name} {part.options}"
                if key not in checked:
                    checked[key] = problems(check_kind(kind, part.name, part.options))
                if not checked[key]:
                    continue
                what = f"the {registry.singular(kind)} {part.name} of {entrant.name}"
                if not made.study.allow_unchecked:
                    short = registry.singular(kind).split()[-1]
                    raise MMBenchError(
                        f"{what} does not keep its contract: {checked[key][0]}. "
                        f"`mmbench check {short} {part.name}` says all of it; --allow-unchecked "
                        "compares it anyway"
                    )
                words = f"{what} does not keep its contract: {'; '.join(checked[key])}"
                made.facts[title].append(("unchecked", words))


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


def _of_fusion(key: str) -> bool:
    return key.partition(".")[0] in ("fusion", "losses", "balance")
