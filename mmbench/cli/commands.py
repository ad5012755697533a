"""The command line: parse, call, print. What a command does is in the module that it calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.data_commands import data
from mmbench.cli.options import (
    Dataset,
)
from mmbench.cli.output import complain, say
from mmbench.cli.parser import CommandGroup
from mmbench.cli.probe_command import probe
from mmbench.cli.record_commands import convert, report, score, verify
from mmbench.cli.run_commands import compare, profile, run
from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    pass

app = CommandGroup(
    "mmbench", "Controlled comparison of multimodal models: retrieval, captioning, VQA, generation."
)
app.add_typer(data, name="data")


for command in (run, compare, profile, probe, score, report):
    app.command()(command)


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
    name: Annotated[
        str, typer.Argument(help="A name that `mmbench list` shows, a record, or `train`.")
    ],
    task: Annotated[str | None, typer.Option(help="The task to show a model for.")] = None,
    dataset: Dataset = None,
    width: Annotated[
        int | None, typer.Option(help="The width that a fusion's cost is shown at. Default: 128.")
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(metavar="RECORD", help="Say how a record differs from this one.")
    ] = None,
) -> None:
    """Show what a task, dataset, model, part, metric or record is; of `train`, its settings."""
    from mmbench.cli.show import difference_text, show_text

    if diff is None:
        say(show_text(name, task, dataset, width))
    else:
        say(difference_text(Path(name), diff))


app.command()(convert)
app.command()(verify)


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
