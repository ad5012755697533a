"""`mmbench data`: list, prepare and check datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from mmbench.cli.options import DataDir, SkipBad, Split
from mmbench.cli.output import say, say_line
from mmbench.cli.parser import CommandGroup

data = CommandGroup("data", "List, prepare and check datasets.")
DatasetName = Annotated[str, typer.Argument(help="A dataset, or its YAML file.")]


@data.command("list")
def list_data() -> None:
    """List the datasets: tasks, samples, where from, size, licence."""
    from mmbench.cli.data import list_text

    say(list_text())


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

    watch = TerminalWatch()
    try:
        for line in prepare(name, data_dir, split, skip_bad, watch.read):
            say_line(line)
    finally:
        watch.done()


@data.command("export")
def export_data(
    name: DatasetName,
    task: Annotated[str | None, typer.Option(help="Of a dataset of several: which.")] = None,
    split: Split = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
) -> None:
    """Print what a split asks, with the ids that predictions for it go by: a JSON line each."""
    from mmbench.cli.data import exported

    for line in exported(name, task, split, data_dir, skip_bad):
        say_line(line)


@data.command("check")
def check_data(name: DatasetName, data_dir: DataDir = None) -> None:
    """Verify a dataset: every file is there and can be read, every split is as large as it is."""
    from mmbench.cli.data import check
    from mmbench.cli.progress import TerminalWatch

    watch = TerminalWatch()
    try:
        check(name, data_dir, told=watch.read)
    finally:
        watch.done()
