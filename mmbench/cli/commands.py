"""The command line: parse, call, print. What a command does is in the module that it calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.errors import Interrupted, MMBenchError

if TYPE_CHECKING:
    from mmbench.experiments.result import RunResult

app = typer.Typer(
    name="mmbench",
    help="Controlled comparison of multimodal models: retrieval, captioning, VQA, generation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Task = Annotated[str, typer.Option(help="A task: `mmbench list tasks`.")]
Dataset = Annotated[
    str | None, typer.Option(help="A dataset, or its YAML file. Default: the task's own.")
]
Split = Annotated[str | None, typer.Option(help="The split to score. Default: the test split.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: train.epochs=3."),
]
Limit = Annotated[int | None, typer.Option(help="Score only the first so many samples.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Groups (an image and its questions) a batch in inference.")
]
DataDir = Annotated[
    Path | None, typer.Option(help="The folder of the dataset's files: `mmbench show DATASET`.")
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out samples that cannot be read, and count them."),
]
AllowHubCode = Annotated[
    bool,
    typer.Option("--allow-hub-code", help="Download and run metrics `evaluate:NAME` of the hub."),
]
Out = Annotated[Path, typer.Option(help="Where records are kept.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; print only the result.")]


@app.command()
def run(
    task: Task,
    model: Annotated[str, typer.Option(help="A recipe: `mmbench list models`, or a YAML file.")],
    dataset: Dataset = None,
    split: Split = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train from nothing instead of using shipped weights.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of initialisation, batches and dropout.")] = 0,
    set_: Set = None,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use the weights in this safetensors file.")
    ] = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    out: Out = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Run although there is a record.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was cut off.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run a model on a task, print its scores, and leave a record."""
    from mmbench.cli.progress import TerminalWatch
    from mmbench.experiments.run import run as run_one
    from mmbench.experiments.watch import SILENT
    from mmbench.recipe import parse_overrides

    result = run_one(
        task,
        model,
        dataset=dataset,
        split=split,
        train=train,
        seed=seed,
        overrides=parse_overrides(set_ or []),
        limit=limit,
        device=device,
        batch_size=batch_size,
        checkpoint=checkpoint,
        data_dir=data_dir,
        skip_bad=skip_bad,
        allow_hub_code=allow_hub_code,
        out=out,
        force=force,
        resume=resume,
        watch=SILENT if quiet else TerminalWatch(),
    )
    if json:
        print(result.record.model_dump_json(indent=1))
        return
    _print_run(result, quiet)


def _print_run(result: RunResult, quiet: bool) -> None:
    from mmbench.cli.show import record_text

    print(record_text(result.record, result.path))
    if result.reused and not quiet:
        print(f"  (from the record of {result.record.created}; --force runs it again)")


@app.command()
def compare(
    task: Task,
    models: Annotated[str, typer.Option(help="Two or more recipes, separated by commas.")],
    seeds: Annotated[int, typer.Option(help="How many: 0, 1, ... each.")] = 3,
    dataset: Dataset = None,
    split: Split = None,
    set_: Set = None,
    limit: Limit = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    out: Out = Path("results"),
    quiet: Quiet = False,
) -> None:
    """Train models under equal conditions over several seeds and compare them.

    What has a record is not run again, so that an interrupted comparison goes on where it was.
    """
    from mmbench.cli.progress import TerminalWatch
    from mmbench.experiments.compare import compare as compare_models
    from mmbench.experiments.watch import SILENT
    from mmbench.recipe import parse_overrides
    from mmbench.reports.comparison import comparison_text

    def tell(model: str, seed: int, result: RunResult) -> None:
        value = result.value * result.record.primary.scale
        source = "recorded before" if result.reused else "done"
        print(f"{model} seed {seed}: {value:.2f} ({source})", file=sys.stderr, flush=True)

    comparison = compare_models(
        task,
        [name.strip() for name in models.split(",") if name.strip()],
        seeds=seeds,
        dataset=dataset,
        split=split,
        overrides=parse_overrides(set_ or []),
        limit=limit,
        device=device,
        batch_size=batch_size,
        data_dir=data_dir,
        skip_bad=skip_bad,
        allow_hub_code=allow_hub_code,
        out=out,
        watch=SILENT if quiet else TerminalWatch(),
        told=(lambda *_: None) if quiet else tell,
    )
    print(comparison_text(comparison))


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

    names = [name.strip() for name in metrics.split(",") if name.strip()] if metrics else None
    if compare is not None:
        a, b = compare
        tested = compare_predictions(
            *(task, a, b, references),
            questions=questions,
            metrics=names,
            allow_hub_code=allow_hub_code,
        )
        print(paired_text(str(a), str(b), tested))
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
        print(result.record.model_dump_json(indent=1))
    else:
        _print_run(result, quiet=True)
    for name, reason in result.record.failed.items():
        print(f"mmbench: {name} was not computed: {reason}", file=sys.stderr)
    if result.record.failed:
        sys.exit(1)


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    format: Annotated[str, typer.Option(help="markdown, latex or csv.")] = "markdown",
) -> None:
    """Make a table for each task and dataset from records, a column for comparable numbers."""
    from mmbench.reports.report import report as make_report

    print(make_report(paths, format), end="")


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="tasks, datasets, models, encoders, fusions, decoders or metrics.")
    ],
) -> None:
    """List what there is."""
    from mmbench.cli.show import list_text

    print(list_text(what))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that `mmbench list` shows, or a record.")],
    task: Annotated[str | None, typer.Option(help="The task to show a model for.")] = None,
    dataset: Dataset = None,
) -> None:
    """Show what a task, dataset, model, part, metric or record is."""
    from mmbench.cli.show import show_text

    print(show_text(name, task, dataset))


data = typer.Typer(help="List, prepare and check datasets.", no_args_is_help=True)
app.add_typer(data, name="data")
DatasetName = Annotated[str, typer.Argument(help="A dataset, or its YAML file.")]


@data.command("list")
def list_data() -> None:
    """List the datasets: tasks, samples, where from, size, licence."""
    from mmbench.cli.data import list_text

    print(list_text())


@data.command("prepare")
def prepare_data(
    name: DatasetName,
    data_dir: DataDir = None,
    split: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Read and decode a dataset into the cache, so that later runs start at once."""
    from mmbench.cli.data import prepare
    from mmbench.cli.progress import TerminalWatch

    for line in prepare(name, data_dir, split, skip_bad, TerminalWatch().read):
        print(line, flush=True)


@data.command("check")
def check_data(name: DatasetName, data_dir: DataDir = None) -> None:
    """Verify a dataset: every file is there and can be read, every split is as large as it is."""
    from mmbench.cli.data import check
    from mmbench.cli.progress import TerminalWatch

    check(name, data_dir, told=TerminalWatch().read)


def main() -> None:
    """The console script. Exit codes: 0, 2 for a mistake of the user's, 130 for Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except MMBenchError as error:
        _fail(str(error), 2)
    except Interrupted as error:
        _fail(str(error), 130)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", 130)
    except BrokenPipeError:  # `mmbench list models | head -1`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a bug: with its traceback
            raise
        _fail(error.format_message(), 2)  # a usage error of the command line's parser
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"mmbench: {message}", file=sys.stderr)
    sys.exit(code)
