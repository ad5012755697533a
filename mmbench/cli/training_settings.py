"""The settings of training and the options of its optimizers, as their docstrings have them."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from typing import Any, NamedTuple

from mmbench.optimizers import OPTIMIZERS
from mmbench.recipe import Train
from mmbench.yaml_file import Settings

_COLUMNS = 100
_USE = (
    "The keys of `train` in a recipe, in one of its stages, and in a dataset's file; on the "
    "command line `--set train.KEY=VALUE`. A part of the data is trained on by "
    "`--set 'stages=[{name: all, objective: task, data: {share: 0.1}}]'`, and `--init` begins from "
    "a checkpoint: docs/stages.md."
)


class Row(NamedTuple):
    """A setting: its key, its default as YAML has it ("" for none), and what it is."""

    key: str
    default: str
    about: str


class Section(NamedTuple):
    """Settings that belong together."""

    title: str
    about: str
    rows: list[Row]


def sections() -> list[Section]:
    """The settings of training, the options of each optimizer, and what is not supported."""
    found = [Section("train", f"{summary(Train)} {_USE}", _rows(Train))]
    found += [
        Section(f"train.optimizer: {name}", summary(kind), _rows(kind))
        for name, kind in OPTIMIZERS.items()
    ]
    missing = [Row(what, "", why) for what, why in entries(Train, "Not supported").items()]
    return [*found, Section("not supported", "", missing)]


def text() -> str:
    """What `mmbench show train` prints."""
    lines: list[str] = []
    for section in sections():
        head = f"{section.title}: {section.about}" if section.about else section.title
        lines += ["", *textwrap.wrap(head, _COLUMNS)]
        keys = max(len(row.key) for row in section.rows)
        defaults = max(len(row.default) for row in section.rows)
        for row in section.rows:
            left = f"  {row.key:<{keys}}  {row.default:<{defaults}}".rstrip()
            left = f"{left:<{keys + defaults + 4}}  " if defaults else f"{left:<{keys + 2}}  "
            lines += textwrap.wrap(
                row.about, _COLUMNS, initial_indent=left, subsequent_indent=" " * len(left)
            )
    return "\n".join(lines[1:])


def summary(kind: type[Settings]) -> str:
    """What stands in a docstring before its sections, on one line."""
    before = re.split(r"\n(?=\w[\w ]*:\n)", inspect.getdoc(kind) or "", maxsplit=1)[0]
    return " ".join(before.split())


def entries(kind: type[Settings], section: str) -> dict[str, str]:
    """What a section of a docstring says, by the name that stands before the colon."""
    found: dict[str, str] = {}
    name = None
    _, _, after = (inspect.getdoc(kind) or "").partition(f"{section}:\n")
    for line in after.splitlines():
        if not line.startswith("    "):
            break
        if line.startswith("     ") and name is not None:
            found[name] += f" {line.strip()}"
        else:
            name, _, about = line.strip().partition(": ")
            found[name] = about
    return found


def _rows(kind: type[Settings]) -> list[Row]:
    about = entries(kind, "Attributes")
    defaults = kind().model_dump(mode="json")
    return [Row(key, _default(defaults[key]), about[key]) for key in kind.model_fields]


def _default(value: Any) -> str:
    """As YAML has it; of a part its name."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value["name"]) if isinstance(value, dict) else json.dumps(value).strip('"')
