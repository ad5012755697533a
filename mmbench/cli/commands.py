"""The command line: parse, call, print. What a command does is in the module that it calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.data_commands import data
from mmbench.cli.options import (
    AllowHubCode,
    AllowMixed,
    BatchSize,
    Compile,
    Corruptions,
    DataDir,
    Dataset,
    Deterministic,
    Device,
    Init,
    Limit,
    Out,
    Quiet,
    Robustness,
    Set,
    SkipBad,
    Split,
    Task,
    Threads,
)
from mmbench.cli.output import complain, say, say_line
from mmbench.cli.parser import CommandGroup, settings_given, split_names
from mmbench.cli.probe_command import probe
from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from mmbench.experiments.result import RunResult

app = CommandGroup(
    "mmbench", "Controlled comparison of multimodal models: retrieval, captioning, VQA, generation."
)
app.add_typer(data, name="data")
app.command()(probe)


@app.command()
def run(
    context: typer.Context,
    task: Annotated[str | None, typer.Option(help="A task: `mmbench list tasks`.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A recipe: `mmbench list models`, or a YAML file.")
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with these options by name (`batch_size`); others change it."
        ),
    ] = None,
    dataset: Dataset = None,
    split: Split = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train from nothing instead of using shipped weights.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of initialisation, batches and dropout.")] = 0,
    set_: Set = None,
    limit: Limit = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    compile: Compile = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use the weights in this safetensors file.")
    ] = None,
    init: Init = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    out: Out = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Run although there is a record, from nothing.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Say so if no training was cut off that can be gone on with."
        ),
    ] = False,
    robustness: Robustness = False,
    corruptions: Corruptions = None,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run a model on a task, print its scores, and leave a record."""
    from mmbench.cli.progress import QuietWatch, TerminalWatch
    from mmbench.cli.robustness import under_damage
    from mmbench.experiments.run import carry_out
    from mmbench.request import read_request, run_request

    if request is None:
        for option in ("task", "model"):
            if context.params[option] is None:
                raise MMBenchError(f"missing option --{option}: name one, or a --request")
        asked = run_request(**settings_given(context))
    else:
        asked = read_request(request, **settings_given(context, changed=True))
    after = under_damage(asked, [asked.model], robustness, corruptions, quiet)
    result = carry_out(asked, QuietWatch() if quiet else TerminalWatch())
    found = after({result.record.model: [result]})
    if json:
        say(result.record.model_dump_json(indent=1))
        return
    _print_run(result, quiet)
    say(found, end="")


def _print_run(result: RunResult, quiet: bool) -> None:
    from mmbench.reports.run import record_text

    say(record_text(result.record, result.path))
    if result.reused and not quiet:
        say(f"  (from the record of {result.record.created}; --force runs it again)")


@app.command()
def compare(
    context: typer.Context,
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY.yaml]", help="A study: these options by name; others change it."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Tasks, separated by commas: `mmbench list tasks`.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Two or more recipes, separated by commas.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, 0, 1, ... each; or which: 0,1,7.")] = "3",
    metrics: Annotated[
        str | None, typer.Option(help="What is tested, separated by commas. Default: the first.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Compare the others with this one. Default: all pairs."),
    ] = None,
    references: Annotated[
        bool,
        typer.Option(
            "--references/--no-references", help="Compare with models that fuse nothing, too."
        ),
    ] = True,
    budget: Annotated[
        str, typer.Option(help="as-is, or solve for widths of equal params or flops.")
    ] = "as-is",
    tune: Annotated[
        int, typer.Option(help="Trials of each model on validation, before it is compared.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run, and stop there.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(help="Runs at a time, on one device; they share the cores.")
    ] = 1,
    threads: Threads = None,
    init: Init = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Datasets or their YAML files, separated by commas. Default: the task's"),
    ] = None,
    split: Split = None,
    set_: Set = None,
    limit: Limit = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    compile: Compile = False,
    batch_size: BatchSize = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    out: Out = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Run although there are records, from nothing.")
    ] = False,
    robustness: Robustness = False,
    corruptions: Corruptions = None,
    quiet: Quiet = False,
) -> None:
    """Train models under equal conditions over several seeds and compare them.

    What has a record is not run again, so that an interrupted comparison goes on where it was.
    """
    from mmbench.cli.progress import QuietWatch, TerminalWatch
    from mmbench.experiments.study import carry_out_study
    from mmbench.experiments.study_setup import prepare
    from mmbench.reports.study import plan_text, study_result_text
    from mmbench.study import make_study, read_study

    def tell(model: str, seed: int, result: RunResult) -> None:
        record = result.record
        value = result.value * record.primary.scale
        source = "recorded before" if result.reused else "done"
        where = f"{record.task}/{record.dataset}: " if len(made.entrants) > 1 else ""
        complain(f"{where}{model} seed {seed}: {value:.2f} ({source})")

    settings = settings_given(context, changed=study is not None)
    for option in ("study", "dry_run"):
        settings.pop(option, None)
    settings |= {o: context.params[o] for o in ("robustness", "corruptions") if context.params[o]}
    if study is None:
        for option in ("task", "models"):
            if context.params[option] is None:
                raise MMBenchError(f"missing option --{option}: name one, or a study's YAML file")
        asked = make_study(**settings)
    else:
        asked = read_study(study, **settings)
    made = prepare(asked)
    if dry_run:
        say(plan_text(made.plan))
        return
    result = carry_out_study(
        made,
        watch=QuietWatch() if quiet else TerminalWatch(),
        told=(lambda *_: None) if quiet else tell,
        notice=(lambda _: None) if quiet else complain,
    )
    say(study_result_text(result))
    if result.failed:
        sys.exit(1)


@app.command()
def profile(
    context: typer.Context,
    task: Task,
    model: Annotated[str, typer.Option(help="A recipe: `mmbench list models`, or a YAML file.")],
    dataset: Dataset = None,
    split: Split = None,
    set_: Set = None,
    limit: Limit = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Media a batch that parts are timed with. Default: as in training."),
    ] = None,
    search: Annotated[
        float | None, typer.Option(help="Seconds to try larger batches for. Default: 30.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use the weights in this safetensors file.")
    ] = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Measure what a model costs: by part, for one sample alone, in the largest batch.

    It needs no trained weights.
    """
    from json import dumps

    from mmbench.experiments.profiling import profile as profile_model
    from mmbench.reports.profile import profile_text

    found = profile_model(**settings_given(context))
    say(dumps(found.to_dict(), indent=1) if json else profile_text(found))


@app.command()
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
    questions: Annotated[Path | None, typer.Option(help="The official questions (VQA).")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Names, separated by commas: `mmbench list metrics`.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Test two prediction files, or two records, in pairs."),
    ] = None,
    interval: Annotated[str, typer.Option(help="percentile or bca.")] = "percentile",
    allow_hub_code: AllowHubCode = False,
    allow_mixed: AllowMixed = False,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Read images that a table names outside its folder."),
    ] = False,
    out: Out = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Score predictions made elsewhere, without a model, or compare two of them."""
    from mmbench.experiments.score_files import compare_predictions
    from mmbench.experiments.score_files import score as score_files
    from mmbench.reports.paired import paired_text

    names = split_names(metrics) if metrics else None
    if compare is not None:
        a, b = compare
        tested = compare_predictions(
            *(task, a, b, references),
            questions=questions,
            metrics=names,
            allow_hub_code=allow_hub_code,
            allow_mixed=allow_mixed,
        )
        say(paired_text(str(a), str(b), tested))
        return
    if task is None or predictions is None or references is None:
        raise MMBenchError(
            "needs --task, --predictions and --references; or --compare A B for a paired test"
        )
    result = score_files(
        *(task, predictions, references),
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
        _print_run(result, quiet=True)
    for name, reason in result.record.failed.items():
        complain(f"mmbench: {name} was not computed: {reason}")
    if result.record.failed:
        sys.exit(1)


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    format: Annotated[str, typer.Option(help="markdown, latex, csv, json or html.")] = "markdown",
    layout: Annotated[
        str, typer.Option(help="main, ablation, cost or categories: what stands in which table.")
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
    allow_mixed: AllowMixed = False,
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


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="tasks, datasets, models, encoders, fusions, decoders, metrics, corruptions."
        ),
    ],
) -> None:
    """List what there is."""
    from mmbench.cli.show import list_text

    say(list_text(what))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that `mmbench list` shows, or a record.")],
    task: Annotated[str | None, typer.Option(help="The task to show a model for.")] = None,
    dataset: Dataset = None,
    width: Annotated[
        int | None, typer.Option(help="The width that a fusion's cost is shown at. Default: 128.")
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(metavar="RECORD", help="Say how a record differs from this one.")
    ] = None,
) -> None:
    """Show what a task, dataset, model, part, metric or record is."""
    from mmbench.cli.show import difference_text, show_text

    if diff is None:
        say(show_text(name, task, dataset, width))
    else:
        say(difference_text(Path(name), diff))


@app.command()
def convert(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records of schema version 1.")],
    data_dir: DataDir = None,
) -> None:
    """Make records that an earlier mmbench wrote ones that this one reads, from their answers."""
    from mmbench.experiments.convert import convert_records

    failed = 0
    for folder, problem in convert_records(paths, data_dir):
        (complain if problem else say_line)(f"{folder}: {problem or 'converted'}")
        failed += problem is not None
    if failed:
        sys.exit(1)


@app.command()
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


def run_command() -> None:
    """Parse the command line and call its command. Ends in SystemExit, or in a bug's traceback."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("mmbench", sys.argv[1:]) as context:
            command.invoke(context)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except MMBenchError as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # `mmbench list models | head -1`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a bug: with its traceback
            raise
        _fail(error.format_message(), 2)  # a usage error of the command line's parser


def _fail(message: str, code: int) -> None:
    complain(f"mmbench: {message}")
    sys.exit(code)
