"""The command line: parse, call, print. What a command does is in the module that it calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli.cache_commands import cache
from mmbench.cli.data_commands import data
from mmbench.cli.options import DataDir, Dataset, names_of
from mmbench.cli.output import complain, say
from mmbench.cli.parser import CommandGroup
from mmbench.cli.part_commands import check, new
from mmbench.cli.probe_command import probe
from mmbench.cli.record_commands import convert, report, score, verify
from mmbench.cli.run_commands import compare, profile, run
from mmbench.errors import MMBenchError
from mmbench.option_words import on_command_line
from mmbench.processes import ProcessLost, leave, started

app = CommandGroup(
    "mmbench",
    "Controlled comparison of multimodal models: retrieval, captioning, VQA, generation.",
    is_whole=True,
)
app.add_typer(data, name="data")
app.add_typer(cache, name="cache")


for command in (run, compare, profile, probe, score, report):
    app.command()(command)


def listed(incomplete: str) -> list[str]:
    """What `mmbench list` lists, for a shell that completes it."""
    from mmbench.cli.listing import LISTED

    return [what for what in LISTED if what.startswith(incomplete)]


@app.command("list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="tasks, datasets, models, encoders, fusions, late_fusions, decoders, objectives, "
            "balance, metrics, corruptions, predictors, readers, loggers.",
            autocompletion=listed,
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Of metrics and datasets: those of this task.")
    ] = None,
) -> None:
    """List what there is."""
    from mmbench.cli.listing import list_text

    say(list_text(what, task))


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A name that `mmbench list` shows, a YAML file, a record, or `train`.",
            autocompletion=names_of("recipes", "datasets", "tasks", "fusions", "encoders"),
        ),
    ],
    task: Annotated[str | None, typer.Option(help="The task to show a model for.")] = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
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
        say(show_text(name, task, dataset, width, data_dir))
    else:
        say(difference_text(Path(name), diff))


app.command()(check)
app.command()(new)
app.command()(convert)
app.command()(verify)


@on_command_line()
def run_command() -> None:
    """Parse the command line and call its command. Ends in SystemExit, or in a bug's traceback."""
    command = typer.main.get_command(app)
    if started() > 1 and sys.argv[1:2] != ["run"]:
        _fail(
            f"a launcher has started {started()} processes of this command, and only `mmbench run` "
            "is shared out among them (`mmbench compare` has --jobs and --engine ray)",
            2,
        )
    if "_MMBENCH_COMPLETE" in os.environ:  # a shell asks how a line may go on
        command.main(prog_name="mmbench")
    try:
        with command.make_context("mmbench", sys.argv[1:]) as context:
            command.invoke(context)
        leave()
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except ProcessLost as error:
        _fail(str(error), 2)
    except MMBenchError as error:
        _fail(str(error), 2, also_unasked=True)
    except BrokenPipeError:  # `mmbench list models | head -1`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a bug: with its traceback
            raise
        _fail(error.format_message(), 2)  # a usage error of the command line's parser


def _fail(message: str, code: int, also_unasked: bool = False) -> None:
    """End with a line and a code.

    Args:
        also_unasked: whether a process that others speak for says it itself: it alone knows.
    """
    complain(f"mmbench: {message}", also_unasked)
    sys.exit(code)
