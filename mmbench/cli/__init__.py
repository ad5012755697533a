"""The terminal: commands, what they print, progress."""

from mmbench.cli.stopping import stopping_in_a_line


def main() -> None:
    """The console script. Imports whatever is slow to import only when Ctrl-C is listened for.

    Exit codes: 0; 1 where a part failed and the rest was done; 2 for a mistake of the user's; 130
    for Ctrl-C; 143 for SIGTERM.
    """
    with stopping_in_a_line():
        from mmbench.cli.commands import run_command

        run_command()


__all__ = ["main"]
