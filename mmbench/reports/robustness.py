"""Robustness as tables: what each model keeps under each kind of damage, and what each input gives.

Numbers are those of `mmbench.experiments.robustness`; nothing is computed here but their scale.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.only_fusion import OnlyByFusion
from mmbench.experiments.result import RunResult
from mmbench.experiments.robustness import RobustnessComparison, by_name, summary
from mmbench.records.robustness_file import RobustnessFile, read_robustness
from mmbench.reports.escape import for_csv, for_latex, for_markdown, one_line
from mmbench.reports.table import label_of
from mmbench.statistics.bootstrap import Interval

DEFINITIONS = (
    "Area: under the curve of the metric over the severity of the damage, from 0 to 1.",
    "Relative: that area, scaled so that 0 is the worst and 1 the best of the models compared "
    "(MultiBench).",
)


@dataclass(frozen=True)
class Number:
    """A value in a table, as the metric is shown.

    Attributes:
        value: scaled.
        low, high: of its interval; None where there is none.
        decimals: that are shown.
        signed: whether it is a difference.
        beside: another number that stands after it in brackets, such as the relative one.
        brief: whether the interval is not shown, but in CSV.
    """

    value: float
    low: float | None = None
    high: float | None = None
    decimals: int = 1
    signed: bool = False
    beside: float | None = None
    brief: bool = False

    @property
    def shown(self) -> str:
        """As text: `81.7 [80.9, 82.4]`, `-66.4 [-72.5, -61.3]`, `81.7 (0.97)`."""
        kind = f"{'+' if self.signed else ''}.{self.decimals}f"
        text = f"{self.value:{kind}}"
        if self.beside is not None:
            text += f" ({self.beside:.2f})"
        if self.low is not None and self.high is not None and not self.brief:
            text += f" [{self.low:{kind}}, {self.high:{kind}}]"
        return text


@dataclass(frozen=True)
class RobustnessTable:
    """A table of models by kinds of damage.

    Attributes:
        title: of what it is.
        head: above the numbers; above the models stands "model".
        rows: a model each, with a number under each head, or None.
        notes: sentences that say what the numbers are.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Number | None]]]
    notes: Sequence[str]


def robustness_tables(runs: Iterable[RunResult]) -> list[RobustnessTable]:
    """Tables of what lies beside these runs' records; nothing is asked anew.

    Runs without it are left out. For each task and dataset (split, limit, metric) there are up to
    three: areas, effective robustness, and what each input gives.

    Raises: MMBenchError if none of the runs has it, or what it has was changed.
    """
    places: dict[tuple[object, ...], list[tuple[str, RunResult]]] = {}
    every: dict[tuple[object, ...], list[RunResult]] = {}
    files: dict[Path, RobustnessFile] = {}
    for run in sorted(runs, key=lambda run: run.record.created):
        record = run.record
        where: tuple[object, ...] = (
            *(record.task, record.dataset, record.split, record.fingerprint),
            *(record.limit, record.primary.signature),
        )
        every.setdefault(where, []).append(run)
        file = read_robustness(run.path)
        if file is not None and file.about.made.metric == record.primary.signature:
            files[run.path] = file
            places.setdefault(where, []).append((label_of(record), run))
    if not places:
        raise MMBenchError(
            "no record there has its robustness beside it: `mmbench run --robustness` or `mmbench "
            "compare --robustness` makes it"
        )
    tables = []
    for place in sorted(places, key=str):
        named = by_name(places[place])
        kept = {m: {run.record.seed: files[run.path] for run in of} for m, of in named.items()}
        tables += tables_of(summary(named, kept, others=every[place]))
    return tables


def tables_of(found: RobustnessComparison) -> list[RobustnessTable]:
    """The tables of a comparison: areas; effective robustness, if a reference is there; inputs."""
    record, metric = found.record, found.metric
    where = f"{record.task}/{record.dataset}, {record.split}: {metric.name}"
    tables = []
    heads = {damage: damage_title(*damage) for damage in found.damages}
    if heads:
        rows = [(m, [_area(found, m, damage) for damage in heads]) for m in found.models]
        notes = (f"Signature {metric.signature}.", *DEFINITIONS)
        tables.append(
            RobustnessTable(f"{where}, area (relative)", list(heads.values()), rows, notes)
        )
    if found.reference is not None:
        rows = [
            (m, numbers)
            for m in found.models
            if any(numbers := [_effective(found, m, damage) for damage in heads])
        ]
        note = (
            f"What a model keeps beyond {found.reference} when both start from the same value, "
            "summed over the levels of damage (effective robustness, MultiBench); 95% intervals."
        )
        if rows:
            tables.append(
                RobustnessTable(
                    f"{where}, effective robustness", list(heads.values()), rows, [note]
                )
            )
    return [*tables, _inputs(found, where)]


def _inputs(found: RobustnessComparison, where: str) -> RobustnessTable:
    """The drop by each input that is shuffled, and what only the fusion answers rightly."""
    modalities = list(dict.fromkeys(modality for _, modality in found.drops))
    rows: list[tuple[str, Sequence[Number | None]]] = []
    notes = []
    if modalities:
        notes.append("Shuffled: the change where that input is another sample's; 95% intervals.")
    references: dict[str, None] = {}
    for model in found.models:
        numbers: list[Number | None] = [_undamaged(found, model)]
        numbers += [_drop(found, model, modality) for modality in modalities]
        only = found.only.get(model)
        if isinstance(only, OnlyByFusion):
            references |= dict.fromkeys(only.references)
            numbers.append(_scaled(only.share.mean, only.share.interval, 100))
        else:
            numbers.append(None)
        rows.append((model, numbers))
    if references:
        notes.append(
            "Only this: the share of samples (%) that the model answers rightly and none of "
            f"{', '.join(references)} does."
        )
    else:
        reasons = [why for why in found.only.values() if isinstance(why, str)]
        notes += [f"Only this: not known, {reasons[0]}."] if reasons else []
    notes += _not_run(found)
    head = [found.metric.name, *(f"{name} shuffled" for name in modalities), "only this"]
    return RobustnessTable(f"{where}, what each input gives", head, rows, notes)


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


def damage_title(corruption: str, modality: str) -> str:
    """What a kind of damage is called: `missing text`, `image noise`."""
    words = corruption.replace("_", " ")
    known = registry.has("corruptions", corruption)
    several = not known or len(registry.load("corruptions", corruption).modalities) > 1
    return f"{words} {modality}" if several and modality not in words else words


def _scaled(value: float, interval: Interval | None, scale: float, sign: int = 0) -> Number:
    ends: tuple[float | None, float | None] = (None, None)
    factor = scale * (sign or 1)
    if interval is not None:
        low, high = sorted((interval.low * factor, interval.high * factor))
        ends = low, high
    decimals = 1 if scale > 1 else 3
    return Number(value * factor, *ends, decimals=decimals, signed=bool(sign))


def _area(found: RobustnessComparison, model: str, damage: tuple[str, str]) -> Number | None:
    curve = found.curves.get((model, *damage))
    if curve is None:
        return None
    number = _scaled(curve.area.mean, curve.area.interval, found.metric.scale)
    return replace(number, beside=curve.relative, brief=True)


def _effective(found: RobustnessComparison, model: str, damage: tuple[str, str]) -> Number | None:
    curve = found.curves.get((model, *damage))
    if curve is None or curve.effective is None:
        return None
    sign = 1 if found.metric.higher_is_better else -1
    return _scaled(curve.effective.difference, curve.effective.interval, found.metric.scale, sign)


def _undamaged(found: RobustnessComparison, model: str) -> Number:
    value = found.undamaged[model]
    return _scaled(value.mean, value.interval, found.metric.scale)


def _drop(found: RobustnessComparison, model: str, modality: str) -> Number | None:
    drop = found.drops.get((model, modality))
    if drop is None:
        return None
    sign = 1 if found.metric.higher_is_better else -1
    return _scaled(drop.difference, drop.interval, found.metric.scale, -sign)


def robustness_text(found: RobustnessComparison) -> str:
    """For the terminal."""
    text = []
    for table in tables_of(found):
        text.append(one_line(table.title))
        lines = [["", *map(one_line, table.head)]]
        lines += [[one_line(m), *(n.shown if n else "-" for n in of)] for m, of in table.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for first, *cells in lines:
            shown = [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
            text.append("  ".join(["", first.ljust(widths[0]), *shown]).rstrip())
        text += [f"  {one_line(note)}" for note in table.notes]
    return "\n".join(text)


def markdown(tables: Sequence[RobustnessTable]) -> str:
    """Markdown tables under their titles."""
    blocks = []
    for table in tables:
        lines = [f"## {for_markdown(table.title)}", ""]
        lines.append(f"| model | {' | '.join(map(for_markdown, table.head))} |")
        lines.append(f"| --- |{' ---: |' * len(table.head)}")
        for model, numbers in table.rows:
            cells = [n.shown if n else "-" for n in numbers]
            lines.append(f"| {for_markdown(model)} | {' | '.join(cells)} |")
        lines += ["", *(f"- {for_markdown(note)}" for note in table.notes)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def latex(tables: Sequence[RobustnessTable]) -> str:
    """LaTeX tables; they need the packages booktabs and rotating.

    Heads lie on their side; of models and kinds of damage, those that are fewer stand above the
    columns. A table that is still wider than the line is made as narrow.
    """
    blocks = ["% needs \\usepackage{booktabs,rotating}\n"]
    for table in tables:
        models = [model for model, _ in table.rows]
        shown = [[n.shown.replace("-", "$-$") if n else "-" for n in of] for _, of in table.rows]
        above, beside = list(table.head), models
        if len(above) > len(models):
            above, beside = models, above
            shown = [list(row) for row in zip(*shown, strict=True)]
        heads = [rf"\begin{{sideways}}{for_latex(h)}\end{{sideways}}" for h in above]
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{for_latex(table.title)}. {for_latex(' '.join(table.notes))}}}",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(above)}}}",
            r"\toprule",
            " & ".join(["", *heads]) + r" \\",
            r"\midrule",
        ]
        for name, cells in zip(beside, shown, strict=True):
            lines.append(" & ".join([for_latex(name), *cells]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def as_csv(tables: Sequence[RobustnessTable]) -> str:
    """A line a number: table, model, column, value with its interval, and what stands beside it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "model", "column", "value", "low", "high", "relative"])
    for table in tables:
        for model, numbers in table.rows:
            for head, n in zip(table.head, numbers, strict=True):
                if n is not None:
                    values = [table.title, model, head, n.value, n.low, n.high, n.beside]
                    writer.writerow(["" if v is None else for_csv(v) for v in values])
    return text.getvalue()


FORMATS = {"markdown": markdown, "latex": latex, "csv": as_csv}
