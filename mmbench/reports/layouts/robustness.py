"""`robustness`: what models keep under each kind of damage, and what each input gives.

Numbers are those of `mmbench.experiments.robustness`, of the files that lie beside the records;
nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmbench.errors import MMBenchError
from mmbench.experiments.only_fusion import OnlyByFusion
from mmbench.experiments.robustness import Curve, RobustnessComparison
from mmbench.reports.captions import listed, metric_words, split_words, spread_words
from mmbench.reports.cells import Column, cell_of
from mmbench.reports.layouts.options import Options, facts_of, sheet_name, titles
from mmbench.reports.names import dataset_title, in_sentence, metric_title, model_title, tidied
from mmbench.reports.sheet import (
    Head,
    Line,
    Number,
    Sheet,
    Shown,
    best_of,
    decimals_for,
    number_of,
)
from mmbench.reports.significance import Mark
from mmbench.reports.table import Table
from mmbench.statistics.comparison import Difference, ModelEstimate

_EACH = "with 95% intervals, each by itself"


def robustness(tables: Sequence[Table], options: Options) -> list[Sheet]:
    """For each dataset: areas, relative and effective robustness, and what each input gives.

    Raises: MMBenchError if no model was asked again under damage.
    """
    compared = options.beside.comparisons if options.beside is not None else []
    if not compared:
        raise MMBenchError(
            f"no record of {', '.join(table.title for table in tables)} has the robustness of its "
            "primary metric beside it: `mmbench compare --robustness` (or `mmbench run "
            "--robustness`) makes it"
        )
    return [
        sheet
        for each in compared
        for sheet in RobustnessSheets(
            *(each.found, options),
            titles=titles(each.rows),
            kind=each.column.kind,
            parts=each.parts,
            remarks=each.remarks,
        ).sheets()
    ]


class RobustnessSheets:
    """The tables of a comparison: areas, relative and effective robustness, and inputs.

    Args:
        found: whose numbers.
        options: how the report is to be.
        titles: by model, what a reader calls it; its name if it is not there.
        kind: of the column that the undamaged values stand in.
        parts: what tells its tables from others of its task and dataset.
        remarks: what else a reader must know.
    """

    def __init__(
        self,
        found: RobustnessComparison,
        options: Options,
        *,
        titles: Mapping[str, str] | None = None,
        kind: str = "",
        parts: Sequence[str] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        self._found, self._options, self._remarks = found, options, remarks
        self._titles = titles or {}
        record, metric = found.record, found.metric
        self._parts = (record.task, record.dataset, *parts)
        column = Column(
            *(record.task, record.dataset, record.split, record.fingerprint, record.limit),
            *(metric.signature, kind),
        )
        self._facts = facts_of(column) | {"scale": metric.scale}
        self._data = f"on {split_words(record)}"
        self._measured = in_sentence(metric_words(metric.name, metric.signature))
        seeds = [found.undamaged[model].seeds for model in found.models]
        self._values = spread_words(seeds, options.spread)

    def sheets(self) -> list[Sheet]:
        """Those that there are numbers for."""
        made = [self._areas(), self._relative(), self._effective(), self._inputs()]
        return [sheet for sheet in made if sheet is not None]

    def _areas(self) -> Sheet | None:
        caption = (
            f"Area under the curve of {self._measured} over the severity of the damage, from 0 "
            f"(none) to 1, {self._data}. {self._values} Best in bold; no differences were tested."
        )
        metric, least = self._found.metric, self._options.least_decimals

        def numbers(curves: Mapping[str, Curve]) -> dict[str, Number]:
            cells = {model: cell_of(c.area, metric.scale) for model, c in curves.items()}
            best, decimals = (
                best_of(cells, metric.higher_is_better),
                decimals_for([*cells.values()], least),
            )
            return {
                model: number_of(cell, Mark(), model in best, decimals)
                for model, cell in cells.items()
            }

        return self._of_damages(
            "area under the curve", caption, numbers, not metric.higher_is_better
        )

    def _relative(self) -> Sheet | None:
        caption = (
            f"Relative robustness (MultiBench): the area under the curve of {self._measured}, "
            "scaled so that 0 is the worst and 1 the best of the models that read most "
            f"modalities, {self._data}."
        )

        def numbers(curves: Mapping[str, Curve]) -> dict[str, Number]:
            return {
                model: Number(curve.relative, seeds=len(curve.area.values))
                for model, curve in curves.items()
                if curve.relative is not None
            }

        return self._of_damages("relative robustness", caption, numbers, False)

    def _effective(self) -> Sheet | None:
        if self._found.reference is None:
            return None
        caption = (
            f"Effective robustness (MultiBench): what a model keeps of {self._measured} beyond "
            f"{self._title(self._found.reference)} when both start from the same value, summed "
            f"over the levels of damage, {self._data}; {_EACH}."
        )

        def numbers(curves: Mapping[str, Curve]) -> dict[str, Number]:
            return {
                model: self._change(curve.effective)
                for model, curve in curves.items()
                if curve.effective is not None
            }

        return self._of_damages("effective robustness", caption, numbers, False)

    def _of_damages(
        self,
        quantity: str,
        caption: str,
        numbers_of: Callable[[Mapping[str, Curve]], Mapping[str, Number]],
        lower_is_better: bool,
    ) -> Sheet | None:
        """A column a kind of damage, those of a modality beside each other."""
        found = self._found
        modalities = list(dict.fromkeys(modality for _, modality in found.damages))
        damages = sorted(found.damages, key=lambda damage: modalities.index(damage[1]))
        columns = {}
        for damage in damages:
            curves = {
                m: found.curves[(m, *damage)] for m in found.models if (m, *damage) in found.curves
            }
            if numbers := numbers_of(curves):
                columns[damage] = numbers
        if not columns:
            return None
        heads = []
        for corruption, modality in columns:
            facts = {"quantity": quantity, "corruption": corruption, "modality": modality}
            words = corruption.replace("_", " ").removeprefix(f"{modality} ")
            title = tidied(words.replace(" ", "_"))
            heads.append(Head(title, (tidied(modality),), self._facts | facts, lower_is_better))
        return self._sheet(quantity, caption, heads, list(columns.values()))

    def _inputs(self) -> Sheet:
        found, metric = self._found, self._found.metric
        title, heading = metric_title(metric.name)
        cells = {model: cell_of(found.undamaged[model], metric.scale) for model in found.models}
        best = best_of(cells, metric.higher_is_better)
        decimals = decimals_for(cells.values(), self._options.least_decimals)
        heads = [Head(f"{heading} {title}".strip(), (), self._facts, not metric.higher_is_better)]
        columns: list[Mapping[str, Number]] = [
            {m: number_of(cell, Mark(), m in best, decimals) for m, cell in cells.items()}
        ]
        words = [f"{metric_words(metric.name, metric.signature)} {self._data}"]
        modalities = list(dict.fromkeys(modality for _, modality in found.drops))
        for modality in modalities:
            facts = {"quantity": "change where shuffled", "modality": modality}
            heads.append(Head(tidied(modality), ("Shuffled",), self._facts | facts))
            drops = {m: drop for (m, of), drop in found.drops.items() if of == modality}
            columns.append({m: self._change(drop, -1) for m, drop in drops.items()})
        if modalities:
            words[0] += f", and its change where an input is another sample's, {_EACH}"
        words.append(self._values.removesuffix("."))
        remarks = [*_not_run(found), *self._remarks]
        only = {m: o for m, o in found.only.items() if isinstance(o, OnlyByFusion)}
        if only:
            references = listed(model_title(name) for o in only.values() for name in o.references)
            words.append(
                "Only it: the share of samples (%) that the model answers rightly and none of "
                f"{references} does"
            )
            quantity = "share that only it answers rightly"
            facts = self._facts | {"quantity": quantity, "scale": 100.0}
            heads.append(Head("Only it", (), facts))
            columns.append({m: _share(o.share) for m, o in only.items()})
        else:
            reasons = [why for why in found.only.values() if isinstance(why, str)][:1]
            remarks[:0] = [f"What only a fusion answers is not known: {why}." for why in reasons]
        caption = ". ".join(words) + "."
        return self._sheet("what each input gives", caption, heads, columns, remarks)

    def _sheet(
        self,
        what: str,
        caption: str,
        heads: Sequence[Head],
        columns: Sequence[Mapping[str, Number]],
        remarks: Sequence[str] = (),
    ) -> Sheet:
        lines = []
        for model in self._found.models:
            shown: list[Shown] = [numbers.get(model) for numbers in columns]
            if any(shown):
                lines.append(Line(self._title(model), model, shown, {"model": model}))
        return Sheet(
            name=sheet_name("robustness", what.replace(" ", "_"), *self._parts),
            title=f"Robustness on {dataset_title(self._found.record.dataset)}: {what}",
            caption=caption,
            heads=heads,
            lines=lines,
            remarks=remarks,
            spread=self._options.spread,
        )

    def _title(self, model: str) -> str:
        return self._titles.get(model, model)

    def _change(self, found: Difference, sign: int = 1) -> Number:
        """A difference; what is above 0 is for the better."""
        metric = self._found.metric
        factor = sign if metric.higher_is_better else -sign
        low, high = sorted((found.interval.low * factor, found.interval.high * factor))
        return Number(
            *(found.difference * factor, None, low, high),
            scale=metric.scale,
            decimals=1 if metric.scale > 1 else 3,
            signed=True,
        )


def _share(share: ModelEstimate) -> Number:
    return number_of(cell_of(share, 100.0), Mark(), False, 1)


def _not_run(found: RobustnessComparison) -> list[str]:
    """A sentence for the reasons that the same models have."""
    models: dict[str, list[str]] = {}
    for model, reasons in found.not_run.items():
        for why in reasons:
            models.setdefault(why, []).append(model)
    together: dict[tuple[str, ...], list[str]] = {}
    for why, of in models.items():
        together.setdefault(tuple(of), []).append(why)
    return [
        f"Not run{_of(of, len(found.not_run))}: {'; '.join(reasons)}."
        for of, reasons in together.items()
    ]


def _of(models: Sequence[str], every: int) -> str:
    return "" if len(models) == every else f" of {', '.join(models)}"
