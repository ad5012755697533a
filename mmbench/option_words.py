"""Options as whoever called writes them: `--limit` on the command line, `limit=` in Python.

Messages name settings as the command line does, wherever they come from. Whoever called from Python
reads them in Python's words, which are made here, when a message is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FLAGS = {  # options that are given without a value
    "allow-failed",
    "allow-hub-code",
    "allow-mixed",
    "allow-outside",
    "allow-unchecked",
    "compile",
    "deterministic",
    "force",
    "methods",
    "resume",
    "robustness",
    "skip-bad",
    "train",
}
_OF_THE_MODEL = ("base-url", "prompt")  # in Python, overrides as those of `--set`

_COMMAND = re.compile(
    r"(`(?:mmbench|pip|python|bash|ray|accelerate) [^`]*`)"
)  # is one for a shell, whoever reads
_VALUE = r"(\.{3}|[^\s`',;:?)]*[^\s`',;:?).])"  # "..." stands for one
_SET = re.compile(rf"--set (?:'(\w[\w.]*)=([^']*)'|(\w[\w.]*)={_VALUE})")
_SET_KEY = re.compile(r"--set (\w[\w.]*)(?=:| is )")
_OPTION = re.compile(rf"(?<![\w-])--([a-z][a-z-]*[a-z])(?:={_VALUE})?(?!\w)")

_options = False  # whether the command line called


@contextmanager
def on_command_line() -> Iterator[None]:
    """Messages are shown as they are while this holds, in all threads."""
    global _options
    before, _options = _options, True
    try:
        yield
    finally:
        _options = before


def as_called(message: str) -> str:
    """A message in the words of whoever called."""
    return message if _options or "--" not in message else in_python(message)


def in_python(message: str) -> str:
    """A message with arguments in place of options; what stands in a command stays.

    >>> in_python("--batch-size must be at least 1, got 0")
    'batch_size= must be at least 1, got 0'
    >>> in_python("Train with --train --set train.lr=0.1: see `mmbench run --help`")
    'Train with train=True overrides={"train.lr": 0.1}: see `mmbench run --help`'
    """
    parts = _COMMAND.split(message)
    return "".join(part if place % 2 else _translated(part) for place, part in enumerate(parts))


def _translated(text: str) -> str:
    text = _SET.sub(
        lambda m: f'overrides={{"{m[1] or m[3]}": {_literal(m[2] or m[4] or "")}}}', text
    )
    text = _SET_KEY.sub(r'overrides["\1"]', text)
    return _OPTION.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    option, value = found[1], found[2]
    if option == "set":
        return "overrides="
    if option in _OF_THE_MODEL:
        return f'overrides["{option.replace("-", "_")}"]'
    if option.removeprefix("no-") != option:
        return f"{option.removeprefix('no-').replace('-', '_')}=False"
    name = option.replace("-", "_")
    if option in _FLAGS:
        return f"{name}=True"
    return f"{name}={'' if value is None else _literal(value)}"


def _literal(text: str) -> str:
    """A value of the command line as Python has it."""
    from mmbench.yaml_file import parse_yaml

    if text in ("", "...") or text.isupper():  # stands for a value
        return text
    return _python(parse_yaml(text, "an option"))


def _python(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return repr(value)
