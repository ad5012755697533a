"""What the parser of the command line does beyond typer: what is said twice is an error."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mmbench.cli.output import say
from mmbench.near_settings import near_option

_OF_THE_MODEL = ("prompt", "base_url")  # set like --set: its record tells them
_NOT_OF_A_RUN = ("json", "log", "quiet", "repeats", "request", "robustness", "corruptions")


class OneValueCommand(TyperCommand):
    """A command that refuses an option of one value that is given twice, and names it.

    Flags may be repeated: they say the same. So may options that collect values, such as `--set`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual, once every option is found to be there and given as often as it may."""
        try:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        except Exception as error:
            unknown = getattr(error, "option_name", None)
            if not hasattr(error, "possibilities") or unknown is None or ctx.resilient_parsing:
                raise
            options = {option for param in self.params for option in param.opts if option[0] == "-"}
            hint = near_option(str(unknown), _value_after(str(unknown), args), options)
            command = ctx.command_path
            ctx.fail(f"no such option {unknown}.{hint} `{command} --help` shows all.")
        times = Counter(id(option) for option in given)
        for option in given:
            is_flag = getattr(option, "is_flag", True)  # what is not an option is an argument
            if not is_flag and not getattr(option, "multiple", False) and times[id(option)] > 1:
                ctx.fail(f"{option.opts[0]} is given {times[id(option)]} times: it takes one value")
        return super().parse_args(ctx, args)


class CommandGroup(typer.Typer):
    """Commands of mmbench. Without a command it shows its help, exit code 2.

    Args:
        name: what it is called.
        about: the line that its help begins with.
        is_whole: whether it is the whole program, which also tells its version and makes shells
            complete it.
    """

    def __init__(self, name: str, about: str, is_whole: bool = False) -> None:
        super().__init__(
            name=name,
            help=about,
            add_completion=is_whole,
            context_settings={"help_option_names": ["-h", "--help"]},
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
        )
        called = _help_or_version if is_whole else _help_without_command
        self.callback(invoke_without_command=True, help=about)(called)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Registers a function as a command."""
        return super().command(name, cls=OneValueCommand, **options)


def _value_after(name: str, args: Sequence[str]) -> str:
    """The value that was written for an option; VALUE where there is none."""
    for place, written in enumerate(args):
        if written.startswith(f"{name}="):
            return written.partition("=")[2]
        if written == name and place + 1 < len(args) and not args[place + 1].startswith("--"):
            return args[place + 1]
    return "VALUE"


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help(), to=sys.stderr)
        raise typer.Exit(2)


def _help_or_version(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version of mmbench, and stop.")
    ] = False,
) -> None:
    if version:
        import mmbench

        say(f"mmbench {mmbench.__version__}")
        raise typer.Exit
    _help_without_command(context)


def split_names(text: str) -> list[str]:
    """Names separated by commas.

    >>> split_names("cider, bleu_4,")
    ['cider', 'bleu_4']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def settings_given(context: typer.Context, changed: bool = False) -> dict[str, Any]:
    """What a command's options say of a run, by the names that `RunRequest` has for them.

    Args:
        changed: only the options that were written.
    """
    from mmbench.recipe import parse_overrides

    def written(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    given = {name: v for name, v in context.params.items() if not changed or written(name)}
    given["overrides"] = parse_overrides(list(given.pop("set_", None) or ()))
    for option in _OF_THE_MODEL:
        if (value := given.pop(option, None)) is not None:
            given["overrides"][option] = value
    return {name: v for name, v in given.items() if name not in _NOT_OF_A_RUN}
