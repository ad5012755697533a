"""`mmbench cache`: what is kept of decoded data, features and answers, and its removal."""

from __future__ import annotations

from typing import Annotated

import typer

from mmbench.cli.output import say
from mmbench.cli.parser import CommandGroup, split_names

cache = CommandGroup("cache", "List, measure and prune what is kept: media, features, answers.")

Kinds = Annotated[
    str | None, typer.Option("--kind", help="Only these, by commas: images, features, ...")
]


@cache.command("list")
def list_cache(kind: Kinds = None) -> None:
    """List what is kept: kind, size, days since it was last used, file."""
    from mmbench.cli.cache import list_text

    say(list_text(_names(kind)))


@cache.command("size")
def cache_size() -> None:
    """Say where the cache is, and how much lies there of each kind."""
    from mmbench.cli.cache import size_text

    say(size_text())


@cache.command("prune")
def prune_cache(
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", help="What was not used for so many days.")
    ] = 30.0,
    kind: Kinds = None,
    everything: Annotated[
        bool, typer.Option("--all", help="However new it is. Let no run go on meanwhile.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
) -> None:
    """Remove what was not used lately. Whatever is removed is made again when it is needed.

    So are the answers of models (`responses`): those of a server are asked and paid for again.
    """
    from mmbench.cli.cache import prune_text

    say(prune_text(_names(kind), 0.0 if everything else older_than, dry_run))


def _names(kinds: str | None) -> list[str] | None:
    return None if kinds is None else split_names(kinds)
