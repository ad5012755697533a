"""What a study will take, before anything is trained: runs, time, disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import unequal_training
from mmbench.experiments.plan import Plan, make_plan
from mmbench.experiments.run import has_record
from mmbench.experiments.tune import recorded_trials
from mmbench.records.identity import Identity, differences
from mmbench.records.record import Record
from mmbench.records.store import read_record, seeds_of

if TYPE_CHECKING:
    from mmbench.experiments.study_setup import Prepared

_SHOWN = 3  # differences of identities in a line
_READ = 6  # records that an estimate is made of


@dataclass
class StudyPlan:
    """What is to be done.

    Attributes:
        title: what a message calls it.
        models: names, by dataset.
        seeds: of each.
        new: of each run that has no record, what its model is called, its seed, and why it is new.
        recorded: how many runs have records.
        trials: how many trials tuning is to make, and
        tried: how many of them have records.
        warnings: what should be known before hours are spent.
        facts: what was settled, under a word each.
        seconds: that new runs and trials will take; None if no record tells.
        megabytes: that they will take on disk; None if no record tells.
        free: megabytes that are free there.
    """

    title: str = ""
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    new: list[tuple[str, int, str]] = field(default_factory=list)
    recorded: int = 0
    trials: int = 0
    tried: int = 0
    warnings: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    seconds: float | None = None
    megabytes: float | None = None
    free: float | None = None

    @property
    def runs(self) -> int:
        """All of them, trials apart."""
        return len(self.new) + self.recorded

    def new_by_reason(self) -> list[str]:
        """The runs that are new, a line for each reason: `gated_fusion (0, 1): why`."""
        found: dict[str, list[tuple[str, int]]] = {}
        for label, seed, why in self.new:
            found.setdefault(why, []).append((label, seed))
        models = sum(len(names) for names in self.models.values())
        return [f"{runs_in_words(runs, models)}: {why}" for why, runs in found.items()]

    def summary(self) -> str:
        """In a line."""
        parts = [f"{self.runs} runs: {len(self.new)} new, {self.recorded} recorded before"]
        if self.trials:
            parts.append(f"{self.trials} trials: {self.trials - self.tried} new, {self.tried} kept")
        if self.new or self.trials > self.tried:
            time = "no estimate of the time: no record is like these"
            if self.seconds is not None:
                time = f"about {_duration(self.seconds)}, as recorded runs like these took"
            parts.append(time)
            if self.megabytes is not None:
                parts.append(f"about {self.megabytes:,.0f} MB of disk")
        if self.free is not None:
            parts.append(f"{self.free / 1000:,.0f} GB of disk free")
        return "; ".join(parts)


def runs_in_words(runs: Iterable[tuple[str, int]], models: int) -> str:
    """Which runs these are, models that have the same seeds together.

    Args:
        runs: what the model is called, and the seed.
        models: how many there are in all.

    >>> runs_in_words([("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1)], 4)
    'a, b (0, 1), c (0)'
    >>> runs_in_words([("a", 3), ("b", 3)], 2)
    'each model (3)'
    """
    seeds: dict[str, list[str]] = {}
    for label, seed in runs:
        seeds.setdefault(label, []).append(str(seed))
    alike: dict[str, list[str]] = {}
    for label, of in seeds.items():
        alike.setdefault(", ".join(of), []).append(label)
    if len(seeds) == models > 1 and len(alike) == 1:
        return f"each model ({next(iter(alike))})"
    return ", ".join(f"{', '.join(labels)} ({of})" for of, labels in alike.items())


def count_up(made: Prepared) -> StudyPlan:
    """Runs and trials of a study that are to be made, and what they will take."""
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
        for entrant, search in made.searches(title):
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


def why_new(plan: Plan) -> str | None:
    """Why a run is new, in words; None if it has a record that is reused."""
    folder = plan.folder
    if folder.exists() and plan.request.force:
        return "--force runs it again"
    if folder.exists():
        return None if has_record(plan) else "queries of its record failed and are asked again"
    return _nearest(folder, plan.identity)


def _nearest(folder: Path, identity: Identity) -> str:
    """How the nearest record of the model and seed differs from what is asked for."""
    lines = [differences(identity, record.identity) for record in _readable(seeds_of(folder))]
    nearest = min(lines, key=len, default=None)
    if nearest is None:
        return "no record yet"
    more = f"; and {len(nearest) - _SHOWN} more" if len(nearest) > _SHOWN else ""
    return f"the nearest record differs in {'; '.join(nearest[:_SHOWN])}{more}"


class Costs:
    """What runs take, as records below a folder tell of runs like them.

    Args:
        out: where records are kept.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._known: dict[tuple[str, str, str, str | None], list[tuple[Path, Record]]] = {}

    def of(self, plan: Plan) -> tuple[float | None, float | None]:
        """Seconds and megabytes of a run; None where no record is like it.

        Like it are records of its model, dataset and kind of device; or else of another model on
        that dataset that is trained as well.
        """
        alike = self._like(plan)
        seconds = [time for _, r in alike if (time := _seconds(plan, r)) is not None]
        sizes = [sum(f.stat().st_size for f in path.iterdir() if f.is_file()) for path, _ in alike]
        return (
            sum(seconds) / len(seconds) if seconds else None,
            sum(sizes) / len(sizes) / 1e6 if sizes else None,
        )

    def _like(self, plan: Plan) -> list[tuple[Path, Record]]:
        key = (plan.task.name, plan.dataset.name, plan.model, plan.identity.device)
        if key not in self._known:
            of_dataset = plan.folder.parent.parent.parent
            own = self._records(of_dataset.glob(f"{plan.folder.parent.parent.name}/*/seed-*"), plan)
            self._known[key] = own or self._records(of_dataset.glob("*/*/seed-*"), plan)
        return self._known[key]

    def _records(self, folders: object, plan: Plan) -> list[tuple[Path, Record]]:
        found: list[tuple[Path, Record]] = []
        for folder in folders:  # type: ignore[attr-defined]
            for record in _readable([folder]):
                trained = (record.training is None) == (plan.weights.source != "trained")
                if trained and record.identity.device == plan.identity.device:
                    found.append((folder, record))
            if len(found) == _READ:
                break
        return found


def free_megabytes(folder: Path) -> float:
    """That are free on the disk of a folder, which need not exist."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e6


def _seconds(plan: Plan, record: Record) -> float | None:
    """What a planned run will take if it goes as fast as a recorded one went."""
    answering = record.inference.seconds / record.samples if record.inference else 0.0
    seconds = answering * plan.splits.facts(plan.split).samples
    if record.training is not None:
        epochs = record.recipe["train"]["epochs"]
        a_sample = record.training.seconds / (record.training.samples * epochs)
        seconds += a_sample * plan.splits.facts("train").samples * plan.recipe.train.epochs
    return seconds


def _readable(folders: Sequence[Path]) -> list[Record]:
    found = []
    for folder in folders:
        try:
            found.append(read_record(folder))
        except MMBenchError:  # it is named by whoever reads it
            continue
    return found


def _duration(seconds: float) -> str:
    """
    >>> _duration(42), _duration(600), _duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
