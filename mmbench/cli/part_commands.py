"""Commands for parts of one's own: `new`, `check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli.options import Set
from mmbench.cli.output import say, say_line
from mmbench.errors import MMBenchError


def new(
    what: Annotated[
        str, typer.Argument(help="fusion, encoder, decoder, metric, objective, dataset or task.")
    ],
    name: Annotated[str, typer.Argument(help="What it is registered as: product.")],
    out: Annotated[
        Path, typer.Option(help="The folder that the package's own is made in.")
    ] = Path(),
) -> None:
    """Write a package with a part of your own: a working example, a recipe, its contract's test."""
    from mmbench.templates import write_package

    folder = write_package(what, name, out)
    files = sorted(f.relative_to(folder) for f in folder.rglob("*") if f.is_file())
    written = [str(f) for f in files if f.suffix != ".png"]
    if pictures := len(files) - len(written):
        written.append(f"and {pictures} pictures")
    say_line(f"{folder}: {', '.join(written)}")
    say((folder / "README.md").read_text(encoding="utf-8").strip())


def check(
    what: Annotated[
        str, typer.Argument(help="fusion, encoder, decoder, metric, objective, task or dataset.")
    ],
    name: Annotated[str, typer.Argument(help="A registered name, or mypackage.module:Class.")],
    set_: Set = None,
    width: Annotated[
        int | None, typer.Option(help="The width of its streams. Default: a small one.")
    ] = None,
) -> None:
    """Check that a part keeps its contract: masks, NaN, missing inputs, causality, parameters.

    It takes seconds. Exit code 1 if something does not hold.
    """
    from mmbench.checks.parts import check_part
    from mmbench.recipe import parse_overrides

    if width is not None and width < 1:
        raise MMBenchError(f"--width must be at least 1, got {width}")
    options = parse_overrides(list(set_ or ()))
    outcomes = check_part(what, name, options, width)
    longest = max(len(outcome.name) for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.problem]
    said: set[str] = set()
    for outcome in outcomes:
        word = "FAILS" if outcome.problem else "holds"
        say_line(f"  {word}  {outcome.name:<{longest}}  {outcome.due}")
        if outcome.problem:
            problem = "as above" if outcome.problem in said else outcome.problem
            said.add(outcome.problem)
            say_line(f"         {'':<{longest}}  but: {problem}")
    count = f"{len(outcomes) - len(failed)} of {len(outcomes)} checks hold"
    say_line(f"{what} {name}: {count}" + ("" if failed else ": it keeps its contract"))
    if failed:
        sys.exit(1)
