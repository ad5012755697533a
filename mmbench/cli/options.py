"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def names_of(*kinds: str) -> Callable[[str], list[str]]:
    """The registered names of these kinds, for a shell that completes one of them."""

    def complete(incomplete: str) -> list[str]:
        from mmbench import registry

        names = (name for kind in kinds for name in registry.names(kind))
        return sorted({name for name in names if name.startswith(incomplete)})

    return complete


Task = Annotated[
    str,
    typer.Option(help="A task: `mmbench list tasks`.", autocompletion=names_of("tasks")),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="A dataset, or its YAML file. Default: the task's own.",
        autocompletion=names_of("datasets"),
    ),
]
Split = Annotated[str | None, typer.Option(help="The split to score. Default: the test split.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: train.epochs=3."),
]
Limit = Annotated[int | None, typer.Option(help="Score only the first so many samples.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="On a GPU too, repeats give the same bytes. Slower."),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Compile the model first: faster in long runs on a GPU."),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Of the CPU. They decide the last bits of what it trains. Default: all."),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Groups (an image and its questions) a batch in inference.")
]
Init = Annotated[
    Path | None,
    typer.Option(help="Train from this checkpoint: its parts that fit the model, by name."),
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
AllowFailed = Annotated[
    bool,
    typer.Option("--allow-failed", help="Show scores although over 1% of the queries failed."),
]
AllowMixed = Annotated[
    bool,
    typer.Option(
        "--allow-mixed", help="Compare runs of different kinds of device or versions of one part."
    ),
]
AllowUnchecked = Annotated[
    bool,
    typer.Option(
        "--allow-unchecked",
        help="Compare parts of your own that fail `mmbench check`, and say so.",
    ),
]
Out = Annotated[Path, typer.Option(help="Where records are kept.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; print only the result.")]
Log = Annotated[
    str | None,
    typer.Option("--log", help="Follow the training there too: `mmbench list loggers`."),
]
Robustness = Annotated[
    bool,
    typer.Option(
        "--robustness", help="Then ask the models again with their inputs damaged or shuffled."
    ),
]
Corruptions = Annotated[
    str | None,
    typer.Option(help="With --robustness: which, by commas. Default: `mmbench list corruptions`."),
]
