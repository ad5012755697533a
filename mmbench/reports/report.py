"""From records on disk to tables and figures in a paper's format."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmbench.data.checks import first_reasons
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.failures import check_failed
from mmbench.experiments.result import RunResult
from mmbench.experiments.shown import Shown
from mmbench.records.probe_record import find_probes
from mmbench.records.record import Record
from mmbench.records.store import find_records
from mmbench.records.verification import verified
from mmbench.reports.beside import Beside
from mmbench.reports.checklist import checklist
from mmbench.reports.document import Document, Picture, data_of, signature_marks, signatures_of
from mmbench.reports.escape import one_line
from mmbench.reports.formats import FORMATS
from mmbench.reports.layouts import LAYOUTS
from mmbench.reports.layouts.options import Options, check_baseline, facts_of
from mmbench.reports.methods import methods as method_paragraphs
from mmbench.reports.names import titles_of
from mmbench.reports.probes import PROBES, probes_document
from mmbench.reports.selection import STYLES, wanted_metrics
from mmbench.reports.sheet import SPREADS, Sheet
from mmbench.reports.table import Table, make_tables

Paths = Sequence[str | Path] | str | Path

HTML = "html"  # a page, which is more than tables: see `mmbench.reports.page`


class Report(Shown, str):
    """A report's text, which a notebook shows as tables and figures.

    Args:
        text: in the format that was asked for.
        left_out: of each record, file and folder that could not be read, which and why.
        notes: what was asked for and not made, and why, such as a figure, or a page's media.
        sheets: its tables; none of a page.
        pictures: its figures.
        html: whether the text is a page.
    """

    def __new__(
        cls,
        text: str,
        left_out: Sequence[str] = (),
        notes: Sequence[str] = (),
        *,
        sheets: Sequence[Sheet] = (),
        pictures: Sequence[Picture] = (),
        html: bool = False,
    ) -> Report:
        """A text that is a report."""
        made = super().__new__(cls, text)
        made.left_out, made.notes = list(left_out), list(notes)
        made.sheets, made.pictures, made.html = list(sheets), list(pictures), html
        return made

    left_out: list[str]
    notes: list[str]
    sheets: list[Sheet]
    pictures: list[Picture]
    html: bool

    @property
    def text(self) -> str:
        """The text alone."""
        return str.__str__(self)


def make_report(
    paths: Paths,
    format: str = "markdown",
    allow_mixed: bool = False,
    *,
    layout: str = "main",
    metrics: Sequence[str] | None = None,
    style: str | None = None,
    spread: str = "sd",
    baseline: str | None = None,
    figures: str | Path | None = None,
    methods: bool = False,
    data_dir: str | Path | None = None,
    samples: int | None = None,
    dataset: str | None = None,
    allow_failed: bool = False,
) -> Report:
    """The report on all records at or below the paths that can be read, and why others cannot.

    Args: as `report`.
    Raises: MMBenchError as `report`.
    """
    _check("format", format, (*FORMATS, HTML))
    _check("layout", layout, (*LAYOUTS, PROBES))
    _check("style", style, (None, *STYLES))
    _check("spread", spread, SPREADS)
    if format == HTML:
        if (layout, spread) != ("main", "sd") or metrics or style or baseline or figures or methods:
            raise MMBenchError(
                "a page shows all that there is: with --format=html, leave out --layout, "
                "--metrics, --style, --spread, --baseline, --figures and --methods"
            )
    elif any(value is not None for value in (data_dir, samples, dataset)):
        raise MMBenchError(
            "--dataset, --data-dir and --samples are for --format=html, which shows samples"
        )
    left_out: list[str] = []
    found = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if layout == PROBES:
        if metrics or baseline or figures or methods:
            raise MMBenchError(
                "probes have one table a target: with --layout=probes, leave out --metrics, "
                "--baseline, --figures and --methods"
            )
        document = probes_document(found, style or FORMATS[format].style, spread, left_out)
        return Report(FORMATS[format].write(document), left_out, sheets=document.sheets)
    try:
        runs = _usable_runs(found, left_out, allow_failed)
    except MMBenchError as error:
        more = " --layout=probes shows the probes there." if find_probes(found) else ""
        raise MMBenchError(f"{error}{more}") from None
    if format == HTML:
        from mmbench.reports.page.page import make_page  # matplotlib takes a while

        page = make_page(
            runs, allow_mixed=allow_mixed, data_dir=data_dir, samples=samples, dataset=dataset
        )
        return Report(page.html, left_out, page.notes, html=True)
    with titles_of(run.record for run in runs):
        style = style or FORMATS[format].style
        wanted = wanted_metrics([run.record for run in runs], metrics, style)
        tables = make_tables(runs, allow_mixed, wanted)
        if metrics is not None:
            tables = [table.ordered_by(metrics) for table in tables]
        check_baseline(tables, baseline)
        marks = signature_marks(tables)
        looked = layout == "robustness" or figures is not None or methods
        beside = Beside(tables, left_out) if looked else None
        options = Options(style, spread, FORMATS[format].level, baseline, marks, beside)
        sheets = LAYOUTS[layout](tables, options)
        notes: list[str] = []
        pictures: list[Picture] = []
        if figures is not None:
            from mmbench.reports.figures import draw, write  # matplotlib takes a while

            drawn, notes = draw(tables, options)
            pictures = write(drawn, Path(figures))
        in_sheets = {_key(head.facts) for sheet in sheets for head in sheet.heads if head.facts}
        used = [t for table in tables if (t := _only(table, in_sheets)).columns]
        tests = sum(sheet.tests for sheet in sheets)
        document = Document(
            style=style,
            sheets=sheets,
            signatures=signatures_of(used, marks),
            data=data_of(used),
            conditions=_conditions(used) if style == "paper" else [],
            methods=method_paragraphs(used, tests) if methods else [],
            checklist=checklist(used, tests, beside) if methods and beside is not None else [],
            pictures=pictures,
        )
        text = FORMATS[format].write(document)
    return Report(text, left_out, notes, sheets=sheets, pictures=pictures)


def report(
    paths: Paths,
    format: str = "markdown",
    allow_mixed: bool = False,
    *,
    layout: str = "main",
    metrics: Sequence[str] | None = None,
    style: str | None = None,
    spread: str = "sd",
    baseline: str | None = None,
    figures: str | Path | None = None,
    methods: bool = False,
    data_dir: str | Path | None = None,
    samples: int | None = None,
    dataset: str | None = None,
    allow_failed: bool = False,
) -> Report:
    """Tables, figures and text of all records at or below the paths, to be put into a paper.

    A record that cannot be used (unreadable, changed after its run, of another schema) is left out
    with a UserWarning that names it and says why; the others are reported.

    Args:
        paths: folders of records; searched at any depth.
        format: "markdown", "latex" (needs booktabs and siunitx), "csv", "json", or "html": a page
            with a browser of samples, to which only the last two and `allow_mixed` apply.
        allow_mixed: put runs of different kinds of device, or of versions of one part, into one
            column.
        layout: "main" has models by metrics; "ablation" what changes to a model do; "robustness"
            what models keep under damage, of what `compare --robustness` left beside the records;
            "cost" what each model takes; "categories" the first metric by kind of sample; "probes"
            what encoders know, of what `mmbench probe` left.
        metrics: names of the metrics that are shown, in this order; those of the style if None.
        style: "paper" shows the primary metric and the few that the task names for papers; "draft"
            everything, with notes. LaTeX is for a paper unless told otherwise, the rest a draft.
        spread: what stands beside a value: "sd" over seeds, "interval" or "none".
        baseline: the model that all others are compared with; all pairs if None.
        figures: a folder that figures are written to, as PDF and PNG.
        methods: add a paragraph on how the numbers were made, and a checklist of what a reader can
            rely on, both from the records.
        data_dir: of a page, the folder of a dataset's files, where they do not come with mmbench.
        samples: of a page, at most so many of each set; 10,000 if None.
        dataset: of a page, the YAML file of a dataset that is not registered.
        allow_failed: report records of which more than 1% of the queries failed, too.
    Returns: the text, which in a notebook shows itself as tables and figures.
    Raises: MMBenchError if there is no record there that can be used, no such format, layout,
        style, metric or baseline, or nothing there that the layout shows.
    """
    made = make_report(
        *(paths, format, allow_mixed),
        layout=layout,
        metrics=metrics,
        style=style,
        spread=spread,
        baseline=baseline,
        figures=figures,
        methods=methods,
        data_dir=data_dir,
        samples=samples,
        dataset=dataset,
        allow_failed=allow_failed,
    )
    for reason in made.left_out:
        warnings.warn(f"left out of the report: {one_line(reason)}", stacklevel=2)
    for note in made.notes:
        warnings.warn(one_line(note), stacklevel=2)
    return made


def _check(what: str, name: str | None, known: Collection[str | None]) -> None:
    if name not in known:
        names = [each for each in known if each is not None]
        raise MMBenchError(
            f"no {what} '{name}'.{did_you_mean(str(name), names)} There is {', '.join(names)}."
        )


def _usable_runs(paths: Sequence[Path], left_out: list[str], allow_failed: bool) -> list[RunResult]:
    """All that can be read; why others cannot is added to a list."""
    runs: list[RunResult] = []
    for folder in find_records(paths, lambda _, why: left_out.append(why)):
        try:
            record = _usable(folder)
            check_failed(record, folder, allow_failed)
            runs.append(RunResult(record, folder, reused=True))
        except MMBenchError as error:
            left_out.append(str(error))
    if not runs:
        raise MMBenchError(f"no record there can be reported: {first_reasons(left_out)}")
    return runs


def _usable(folder: Path) -> Record:
    """A record as its run left it, with a value that a table can show."""
    record = verified(folder)
    if all(entry.category is not None for entry in record.metrics):
        raise MMBenchError(f"{folder} holds no value over all samples")
    return record


def _conditions(tables: Sequence[Table]) -> list[str]:
    return list(dict.fromkeys(remark for table in tables for remark in table.remarks))


def _only(table: Table, keys: Collection[tuple[Any, ...]]) -> Table:
    """A table with the columns alone that some sheet shows."""
    columns = [column for column in table.columns if _key(facts_of(column)) in keys]
    return replace(table, columns=columns)


def _key(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("task", "dataset", "split", "fingerprint", "limit", "signature", "kind")
    return tuple(facts.get(name) for name in names)
