"""How models stand damage to their inputs, and whether they use all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench import registry
from mmbench.corruptions.conditions import CLEAN, SHUFFLED, check_corruptions
from mmbench.errors import MMBenchError
from mmbench.experiments.measured_runs import entry_of
from mmbench.experiments.only_fusion import OnlyByFusion, only_by_fusion, references_beside
from mmbench.experiments.result import RunResult, load_run
from mmbench.experiments.score import load_metrics
from mmbench.experiments.shown import Shown
from mmbench.experiments.under_damage import Settings, damaged_results, modalities_of
from mmbench.experiments.watch import shown
from mmbench.metrics.base import Metric
from mmbench.records.record import MetricEntry, Record
from mmbench.records.robustness_file import ConditionEntry, RobustnessFile
from mmbench.statistics.bootstrap import IntArray
from mmbench.statistics.comparison import Difference, ModelEstimate, difference, estimate
from mmbench.statistics.curves import area_weights, combined, kept_weights, relative_to_others
from mmbench.statistics.measured import Measured, measure

if TYPE_CHECKING:
    import pandas as pd

    from mmbench.experiments.compare import Comparison

Runs = RunResult | str | Path | Sequence[RunResult | str | Path]


@dataclass(frozen=True)
class Curve:
    """A model under one corruption of one modality, level by level.

    Attributes:
        model, corruption, modality: what is damaged how.
        severity: (L + 1,), from 0, the undamaged input, to 1.
        amounts: (L + 1,), of damage, as the corruption counts it; None of the undamaged input.
        points: the metric's value at each, with its interval.
        area: under the curve, so that an undamaged model's is its value.
        relative: that area, 0 for the worst and 1 for the best of the models that read the most
            modalities; None for others, for a single one, or where all are equal.
        effective: what one of these keeps beyond the reference, summed over the levels; None
            without one.
    """

    model: str
    corruption: str
    modality: str
    severity: tuple[float, ...]
    amounts: tuple[float | None, ...]
    points: tuple[ModelEstimate, ...]
    area: ModelEstimate
    relative: float | None
    effective: Difference | None


@dataclass(frozen=True, repr=False)
class RobustnessComparison(Shown):
    """What models keep under damage, and what they lose without each input.

    Attributes:
        metric: the primary metric, as the first run has it.
        record: of the first run.
        undamaged: by model, its value, best first.
        curves: by model, corruption and modality.
        drops: by model and modality, the undamaged value less that with the modality's inputs
            shuffled across samples.
        only: by model, the share that only it answers rightly, or why there is none.
        reference: the late fusion that effective robustness is against; None if none is there.
        not_run: by model, in words, what could not be run.
    """

    metric: MetricEntry
    record: Record
    undamaged: Mapping[str, ModelEstimate]
    curves: Mapping[tuple[str, str, str], Curve]
    drops: Mapping[tuple[str, str], Difference]
    only: Mapping[str, OnlyByFusion | str]
    reference: str | None
    not_run: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Their names, best first."""
        return list(self.undamaged)

    @property
    def damages(self) -> list[tuple[str, str]]:
        """The corruptions and modalities that any model was run under."""
        return list(dict.fromkeys((c.corruption, c.modality) for c in self.curves.values()))

    def to_frame(self) -> pd.DataFrame:
        """A row a model, corruption, modality and level: value and interval, unscaled."""
        import pandas as pd

        rows = []
        for curve in self.curves.values():
            for severity, amount, point in zip(
                curve.severity, curve.amounts, curve.points, strict=True
            ):
                row: dict[str, Any] = {
                    "model": curve.model,
                    "corruption": curve.corruption,
                    "modality": curve.modality,
                    "severity": severity,
                    "amount": amount,
                    "value": point.mean,
                }
                if point.interval is not None:
                    row |= {"low": point.interval.low, "high": point.interval.high}
                rows.append(row)
        return pd.DataFrame(rows)


def robustness(
    runs: Runs | Comparison,
    *,
    reference: str | None = None,
    **settings: Any,
) -> RobustnessComparison:
    """Ask the models of runs again under every corruption, and compare what they keep.

    What was asked before lies beside the runs' records and is not asked again.

    Args:
        runs: a run's result or the folder of its record, several of them, or a comparison.
        reference: the model that effective robustness is held against; the one that joins its
            modalities by concatenation if None (MultiBench's late fusion), or else one that joins
            decisions.
        settings: corruptions, draws, device, threads, batch_size, dataset, data_dir, checkpoint,
            force, watch: see `mmbench.experiments.under_damage.Settings`.
    Raises: MMBenchError for a run whose weights or data are not there, or a corruption that is not
        known or of no modality of the models.
    """
    compared = getattr(runs, "runs", None)
    by_model = compared if compared is not None else _by_model(runs)
    settings["watch"] = shown(settings.get("watch"))
    return robustness_of(by_model, Settings(**settings), reference=reference)


def robustness_of(
    runs: Mapping[str, Sequence[RunResult]], settings: Settings, *, reference: str | None = None
) -> RobustnessComparison:
    """As `robustness`: of models' runs by name. Models without weights are left out and named.

    Raises: as there; and MMBenchError if no model has weights.
    """
    files: dict[str, dict[int, RobustnessFile]] = {}
    not_run: dict[str, Sequence[str]] = {}
    read: dict[str, list[str]] = {}
    for model, of_model in runs.items():
        try:
            read[model] = modalities_of(of_model[0].record)
        except MMBenchError as error:
            not_run[model] = [str(error)]
    if not read:
        raise MMBenchError(
            "; ".join(why for reasons in not_run.values() for why in reasons)
            or "there is no run to be asked again"
        )
    every = list(dict.fromkeys(name for names in read.values() for name in names))
    check_corruptions(settings.corruptions or (), every)
    for model in read:
        of_model = runs[model]
        files[model] = {}
        for run in of_model:
            file, reasons = damaged_results(run, settings)
            files[model][run.record.seed] = file
            not_run[model] = reasons
    return summary(runs, files, reference=reference, not_run=not_run)


def _by_model(runs: Any) -> dict[str, list[RunResult]]:
    listed = [runs] if isinstance(runs, RunResult | str | Path) else list(runs)
    loaded = [run if isinstance(run, RunResult) else load_run(run) for run in listed]
    return by_name((run.record.model, run) for run in loaded)


def by_name(runs: Iterable[tuple[str, RunResult]]) -> dict[str, list[RunResult]]:
    """Runs by what they are called, a seed each; those of another identity stand by themselves.

    Args:
        runs: and what each is called; of two of one identity and seed the later one counts.
    """
    found: dict[str, dict[str, dict[int, RunResult]]] = {}
    for name, run in runs:
        found.setdefault(name, {}).setdefault(run.record.hash, {})[run.record.seed] = run
    return {
        name if len(of_name) == 1 else f"{name} [{identity[:8]}]": list(of_identity.values())
        for name, of_name in found.items()
        for identity, of_identity in of_name.items()
    }


def summary(
    runs: Mapping[str, Sequence[RunResult]],
    files: Mapping[str, Mapping[int, RobustnessFile]],
    *,
    reference: str | None = None,
    not_run: Mapping[str, Sequence[str]] | None = None,
    others: Iterable[RunResult] | None = None,
) -> RobustnessComparison:
    """What the kept results of models' runs say.

    Args:
        runs: by model.
        files: by model and seed; of models of the same data and metric.
        reference: as in `robustness`.
        not_run: by model, in words.
        others: runs that may be references of one modality, besides these; those that lie beside
            them if None.
    Raises: MMBenchError if runs of one model or of several cannot be taken together.
    """
    first = next(runs[model][0] for model in files)
    metric = load_metrics([first.record.primary.name])[0]
    measured: dict[str, dict[str, Measured]] = {}
    entries: dict[str, Mapping[str, ConditionEntry]] = {}
    samples = first.statistics().samples
    for model, by_seed in files.items():
        for run in runs[model]:
            entry_of(run, metric)
            if run.statistics().samples != samples:
                raise MMBenchError(
                    f"{first.record.model} and {model} cannot be compared: they are not of the "
                    "same samples"
                )
        shared = set.intersection(*(set(file.about.conditions) for file in by_seed.values()))
        some = next(iter(by_seed.values()))
        entries[model] = {k: e for k, e in some.about.conditions.items() if k in shared}
        groups = first.statistics().groups
        measured[model] = {k: _measured(model, metric, by_seed, k, groups) for k in entries[model]}
    reads = {model: modalities_of(runs[model][0].record) for model in files}
    most = max(map(len, reads.values()))
    equals = [model for model in files if len(reads[model]) == most]
    reference = _reference(runs, equals, reference)
    sign = 1 if metric.higher_is_better else -1
    ordered = sorted(files, key=lambda model: -sign * measured[model][CLEAN].mean)
    curves = _curves(ordered, entries, measured, equals, reference, metric)
    drops = {
        (model, entry.modality): difference(measured[model][CLEAN], measured[model][key])
        for model in ordered
        for key, entry in entries[model].items()
        if entry.corruption == SHUFFLED
    }
    every = [run for of_model in runs.values() for run in of_model]
    every += references_beside(first) if others is None else others
    only: dict[str, OnlyByFusion | str] = {}
    for model in ordered:
        only[model] = only_by_fusion(model, runs[model], metric, reads[model], every)
    return RobustnessComparison(
        metric=first.record.primary,
        record=first.record,
        undamaged={model: estimate(measured[model][CLEAN]) for model in ordered},
        curves=curves,
        drops=drops,
        only=only,
        reference=reference,
        not_run=not_run or {},
    )


def _measured(
    model: str,
    metric: Metric,
    files: Mapping[int, RobustnessFile],
    key: str,
    groups: IntArray,
) -> Measured:
    """A model's runs under a condition."""
    statistics = {s: f.statistics[key] for s, f in files.items() if key in f.statistics}
    replicates = {s: f.replicates[key] for s, f in files.items() if key in f.replicates}
    if len(statistics) == len(files):
        rows = len(next(iter(statistics.values())))
        codes = groups if rows == len(groups) else np.arange(rows)
        return measure(model, metric, statistics, codes, kept=replicates or None)
    size = int(groups.max()) + 1
    return Measured(  # statistics too wide to be kept: their replicates were
        model=model,
        metric=metric,
        dataset="",
        seeds=tuple(sorted(files)),
        values=np.array([files[s].about.conditions[key].value for s in sorted(files)]),
        replicates=np.stack([replicates[s] for s in sorted(files)]),
        groups=groups,
        size=size,
        known=size,
        sums=None,
    )


def _reference(
    runs: Mapping[str, Sequence[RunResult]], models: Iterable[str], named: str | None
) -> str | None:
    """The model that stands for late fusion."""
    names = list(models)
    if named is not None:
        if named not in names:
            raise MMBenchError(f"the reference {named} is not among the models: {', '.join(names)}")
        return named
    fusions = {m: (runs[m][0].record.recipe.get("fusion") or {}).get("name", "") for m in names}
    joined = [m for m in names if fusions[m] == "concat"]
    return next(
        iter([*joined, *(m for m in names if registry.has("late_fusions", fusions[m]))]), None
    )


def _curves(
    models: Sequence[str],
    entries: Mapping[str, Mapping[str, ConditionEntry]],
    measured: Mapping[str, Mapping[str, Measured]],
    equals: Sequence[str],
    reference: str | None,
    metric: Metric,
) -> dict[tuple[str, str, str], Curve]:
    """Of each model, corruption and modality whose levels are all there."""
    points: dict[tuple[str, str], dict[str, list[Measured]]] = {}
    levels: dict[tuple[str, str], list[ConditionEntry]] = {}
    for model in models:
        found: dict[tuple[str, str], list[ConditionEntry]] = {}
        for entry in entries[model].values():
            if entry.corruption not in (CLEAN, SHUFFLED):
                found.setdefault((entry.corruption, entry.modality), []).append(entry)
        for damage, of_damage in found.items():
            of_damage.sort(key=lambda entry: entry.level)
            if len(of_damage) != of_damage[0].of:
                continue
            keys = [CLEAN, *(f"{e.corruption}.{e.modality}.{e.level}" for e in of_damage)]
            points.setdefault(damage, {})[model] = [measured[model][key] for key in keys]
            levels[damage] = of_damage
    curves: dict[tuple[str, str, str], Curve] = {}
    for damage, by_model in points.items():
        count = len(levels[damage]) + 1
        areas = {m: combined(p, area_weights(count), "area") for m, p in by_model.items()}
        kept = {m: combined(p, kept_weights(count), "kept") for m, p in by_model.items()}
        held = {m: area.mean for m, area in areas.items() if m in equals}
        relative = relative_to_others(held, metric.higher_is_better)
        for model, of_model in by_model.items():
            compared = reference in kept and model in equals and model != reference
            curves[(model, *damage)] = Curve(
                model,
                *damage,
                severity=tuple(level / (count - 1) for level in range(count)),
                amounts=(None, *(entry.amount for entry in levels[damage])),
                points=tuple(estimate(point) for point in of_model),
                area=estimate(areas[model]),
                relative=relative.get(model),
                effective=difference(kept[model], kept[reference])
                if reference is not None and compared
                else None,
            )
    return curves
