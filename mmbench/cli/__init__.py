"""The terminal: commands, what they print, progress."""

from mmbench.cli.commands import main

__all__ = ["main"]
