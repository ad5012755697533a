"""Commands that read records, or answers from elsewhere: `score`, `report`, `convert`, `verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.cli.options import (
    AllowFailed,
    AllowHubCode,
    AllowMixed,
    DataDir,
    Out,
    SkipBad,
    Split,
)
from mmbench.cli.output import complain, say, say_line
from mmbench.cli.parser import split_names
from mmbench.cli.run_commands import print_run
from mmbench.errors import MMBenchError


def score(
    task: Annotated[
        str | None,
        typer.Option(help="vqa, captioning, retrieval or generation.", show_default=False),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="COCO or VQA results, JSONL, Parquet, .npy, .npz, images.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="The annotations, JSONL, Parquet, right items, images.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="In place of references: the dataset that they are for, or its file."),
    ] = None,
    split: Split = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    name: Annotated[
        str | None, typer.Option(help="What tables call them. Default: their file's name.")
    ] = None,
    questions: Annotated[Path | None, typer.Option(help="The official questions (VQA).")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Names, separated by commas: `mmbench list metrics`.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Test two in pairs: each a prediction file or a record."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Read its answers again off what its model wrote, beside it."),
    ] = None,
    reads: Annotated[
        str | None,
        typer.Option(help="With --record: text, line, answer, choice, 'pattern REGEX'."),
    ] = None,
    interval: Annotated[str, typer.Option(help="percentile or bca.")] = "percentile",
    allow_hub_code: AllowHubCode = False,
    allow_mixed: AllowMixed = False,
    allow_failed: AllowFailed = False,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Read images that a table names outside its folder."),
    ] = False,
    out: Out = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Score predictions made elsewhere, without a model, or compare two of them."""
    from mmbench.experiments.compare_files import compare_predictions
    from mmbench.experiments.failures import check_failed
    from mmbench.experiments.read_again import read_again
    from mmbench.experiments.score_files import score as score_files
    from mmbench.reports.paired import paired_text

    if record is not None:
        result = read_again(record, reads, dataset, data_dir)
        check_failed(result.record, result.path, allow_failed)
        if json:
            say(result.record.model_dump_json(indent=1))
        else:
            print_run(result, quiet=True)
        return
    if reads is not None:
        raise MMBenchError("--reads is how the answers of a --record are read: name one")
    names = split_names(metrics) if metrics else None
    of_dataset: dict[str, Any] = {"dataset": dataset, "split": split, "data_dir": data_dir}
    of_dataset["skip_bad"] = skip_bad
    if compare is not None:
        a, b = compare
        tested = compare_predictions(
            *(task, a, b, references),
            **of_dataset,
            questions=questions,
            metrics=names,
            allow_hub_code=allow_hub_code,
            allow_mixed=allow_mixed,
            allow_failed=allow_failed,
        )
        say(paired_text(str(a), str(b), tested))
        return
    if predictions is None or (dataset is None and (task is None or references is None)):
        raise MMBenchError(
            "needs --predictions, and --dataset or both --task and --references; or --compare A B "
            "for a paired test"
        )
    result = score_files(
        *(task, predictions, references),
        **of_dataset,
        name=name,
        questions=questions,
        metrics=names,
        interval=interval,
        allow_hub_code=allow_hub_code,
        allow_outside=allow_outside,
        out=out,
    )
    if json:
        say(result.record.model_dump_json(indent=1))
    else:
        print_run(result, quiet=True)
    for name, reason in result.record.failed.items():
        complain(f"mmbench: {name} was not computed: {reason}")
    if result.record.failed:
        sys.exit(1)


def report(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    format: Annotated[str, typer.Option(help="markdown, latex, csv, json or html.")] = "markdown",
    layout: Annotated[
        str,
        typer.Option(
            help="main, ablation, robustness, cost, categories, probes: what stands in which table."
        ),
    ] = "main",
    metrics: Annotated[
        str | None, typer.Option(help="Names, separated by commas. Default: those of the style.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(help="paper (few metrics) or draft (all). Default: paper for latex."),
    ] = None,
    spread: Annotated[
        str, typer.Option(help="Beside a value: sd over seeds, interval or none.")
    ] = "sd",
    baseline: Annotated[
        str | None, typer.Option(help="The model that all others are compared with.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="A folder to write figures to, as PDF and PNG.")
    ] = None,
    methods: Annotated[
        bool, typer.Option("--methods", help="Add a paragraph on methods, and a checklist.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="The file to write. Default: standard output.")
    ] = None,
    data_dir: DataDir = None,
    samples: Annotated[
        int | None, typer.Option(help="Of a page, so many of each set. Default: 10000.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Of a page, the YAML file of a dataset of your own.")
    ] = None,
    allow_mixed: AllowMixed = False,
    allow_failed: AllowFailed = False,
) -> None:
    """Make tables, figures and text for a paper from records, or a page to look at (html).

    A record that cannot be read, or was changed, is named and left out; the exit code is then 1.
    """
    from mmbench.reports.output import check_output, write_output
    from mmbench.reports.report import HTML, make_report

    if output is not None:
        check_output(output)
    elif format == HTML and sys.stdout.isatty():
        raise MMBenchError("a page is for a browser: name its file with --output report.html")
    made = make_report(
        *(paths, format, allow_mixed),
        layout=layout,
        metrics=split_names(metrics) if metrics is not None else None,
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
    if output is None:
        say(made.text, end="")
    else:
        write_output(output, made.text)
    for note in made.notes:
        complain(f"mmbench: {note}")
    for reason in made.left_out:
        complain(f"mmbench: left out: {reason}")
    if made.left_out:
        sys.exit(1)


def convert(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records of an earlier mmbench.")],
    data_dir: DataDir = None,
) -> None:
    """Make records that an earlier mmbench wrote ones that this one reads."""
    from mmbench.experiments.convert import convert_records

    failed = 0
    for folder, problem in convert_records(paths, data_dir):
        (complain if problem else say_line)(f"{folder}: {problem or 'converted'}")
        failed += problem is not None
    if failed:
        sys.exit(1)


def verify(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    data_dir: DataDir = None,
) -> None:
    """Compute every score of records again from their stored answers, and say what holds."""
    from mmbench.experiments.rescore import verify_records

    failed = 0
    for folder, problem in verify_records(paths, data_dir):
        (complain if problem else say_line)(f"{folder}: {problem or 'holds'}")
        failed += problem is not None
    if failed:
        sys.exit(1)
