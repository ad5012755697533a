"""The terminal: commands, what they print, progress."""

import sys


def main() -> None:
    """The console script. Imports nothing before Ctrl-C is listened for.

    Exit codes: 0; 1 where a part failed and the rest was done; 2 for a mistake of the user's; 130
    for Ctrl-C; 143 for SIGTERM.
    """
    try:
        from mmbench.cli.stopping import stopping_in_a_line

        with stopping_in_a_line():
            from mmbench.cli.commands import run_command

            run_command()
    except KeyboardInterrupt:  # in the first import
        sys.stderr.write("mmbench: stopped\n")
        sys.exit(130)


__all__ = ["main"]
