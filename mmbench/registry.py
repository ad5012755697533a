"""Finds plug-ins by entry point: names -> objects. Nothing is imported until it is asked for.

Code is registered under the groups `mmbench.tasks`, `.encoders`, `.fusions`, `.late_fusions`,
`.decoders`, `.objectives`, `.balance`, `.metrics`, `.predictors`, `.readers`, `.corruptions` and
`.loggers`, one entry point an object; `mmbench.metric_families` registers metrics that differ in an
argument, many an entry point.
Recipes and datasets are YAML files: the groups `mmbench.recipes` and `mmbench.datasets` name
packages, and every `*.yaml` in such a package is an entry called by its file name. The built-in
parts are registered in the same way as those of a third party. A part of a recipe may also be named
by where it is written, `mypackage.module:Class` (`mmbench.direct_names`).
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mmbench.direct_names import direct_entry, is_direct, why_broken
from mmbench.errors import MMBenchError, did_you_mean, in_one_line
from mmbench.families import Family, Member
from mmbench.sources import OWN_PACKAGES, docstrings, home_of

CODE_KINDS = (
    *("tasks", "encoders", "fusions", "late_fusions", "decoders"),
    *("objectives", "balance", "metrics", "predictors", "readers", "corruptions"),
    "loggers",
)
FILE_KINDS = ("datasets", "recipes")
_SINGULAR = {k: k[:-1].replace("_", " ") for k in (*CODE_KINDS, "datasets")}
_SINGULAR |= {"recipes": "model", "balance": "balancing method"}
_COMMAND = {"recipes": "models"}  # people call recipes models: `mmbench list models`


def singular(kind: str) -> str:
    """What one of a kind is called.

    >>> singular("late_fusions"), singular("balance")
    ('late fusion', 'balancing method')
    """
    return _SINGULAR[kind]


@cache
def _entries(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"mmbench.{kind}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise MMBenchError(
                f"two installed packages register {_SINGULAR[kind]} '{entry.name}': "
                f"{other.value} and {entry.value}. Uninstall or rename one."
            )
    return found


@cache
def _families() -> tuple[Family, ...]:
    """The families of metrics; each entry point names a tuple of them. Their modules are light."""
    entries = sorted(entry_points(group="mmbench.metric_families"), key=lambda e: e.name)
    return tuple(family for e in entries for family in _loaded(e, f"the metrics {e.name}"))


def _entry(kind: str, name: str) -> EntryPoint | Member | None:
    """What is registered under a name, alone or by a family; None if nothing is."""
    found: EntryPoint | Member | None = _entries(kind).get(name)
    if found is None and kind == "metrics":
        members = (family.find(name) for family in _families())
        found = next((member for member in members if member is not None), None)
    return direct_entry(kind, name) if found is None else found


@cache
def _files(kind: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(entry_points(group=f"mmbench.{kind}"), key=lambda e: e.value):
        for path in sorted(_package_folder(entry.value).glob("*.yaml")):
            other = found.setdefault(path.stem, path)
            if other != path:
                raise MMBenchError(
                    f"two {_SINGULAR[kind]} files are called '{path.stem}': {other} and {path}. "
                    "Rename one."
                )
    return found


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MMBenchError(
            f"the package '{package}' is registered with mmbench but cannot be found"
        )
    return Path(spec.submodule_search_locations[0])


def names(kind: str) -> list[str]:
    """All registered names of a kind ("tasks", "recipes", ...), sorted."""
    known = list(_files(kind) if kind in FILE_KINDS else _entries(kind))
    if kind == "metrics":
        known += [name for family in _families() for name, _ in family.members()]
    return sorted(known)


def has(kind: str, name: str) -> bool:
    """Whether something of this kind has the name; of a family, also a member that is not listed.

    >>> has("metrics", "text_to_image_recall_at_20"), has("metrics", "recall")
    (True, False)
    """
    return name in _files(kind) if kind in FILE_KINDS else _entry(kind, name) is not None


def load(kind: str, name: str) -> Any:
    """The registered object; imports its module.

    Raises: MMBenchError naming the nearest name if there is none called so; of another package's
        part, why it cannot be imported.
    """
    return _loaded(_registered(kind, name), f"the {_SINGULAR[kind]} {name}")


def _loaded(entry: EntryPoint | Member, what: str) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        why = why_broken(entry.module, entry.attr)
        if entry.module.partition(".")[0] in OWN_PACKAGES or not (
            why or isinstance(error, ImportError)
        ):
            raise  # a bug, with its traceback
        why = why or f"{entry.module} cannot be imported: {in_one_line(error)}"
        raise MMBenchError(f"{what} is broken: {why}{_origin(entry)}") from error


def _origin(entry: EntryPoint | Member) -> str:
    """Which package registers an entry point, in brackets; "" of what none does."""
    package = getattr(getattr(entry, "dist", None), "name", None)
    return f" (registered as {entry.value} by the package {package})" if package else ""


def broken(kind: str, name: str) -> str:
    """Why a registered name leads nowhere, as far as can be told without importing it; "" if not.

    >>> broken("fusions", "gated")
    ''
    """
    entry = _registered(kind, name)
    why = why_broken(entry.module, entry.attr)
    return f"broken: {why}{_origin(entry)}" if why else ""


def _registered(kind: str, name: str) -> EntryPoint | Member:
    entry = _entry(kind, name)
    if entry is None:
        check(kind, name)
    assert entry is not None
    return entry


def location(kind: str, name: str) -> tuple[str, str]:
    """The module and attribute that a name stands for. Imports nothing.

    Raises: MMBenchError naming the nearest name if there is none called so.
    """
    entry = _registered(kind, name)
    return entry.module, entry.attr


def kind_of(name: str, kinds: Sequence[str]) -> str:
    """The first of these kinds that has a name.

    Raises: MMBenchError naming the nearest name of any of them if there is none called so.
    """
    for kind in kinds:
        if has(kind, name):
            return kind
    if any(is_direct(kind, name) for kind in kinds):
        check(kinds[0], name)
    known = sorted({other for kind in kinds for other in names(kind)})
    raise MMBenchError(
        f"no {_SINGULAR[kinds[0]]} called '{name}'.{_or_install(kinds[0], name, known)} "
        f"`mmbench list {kinds[0]}` shows all {len(names(kinds[0]))}."
    )


def _or_install(kind: str, name: str, known: Sequence[str]) -> str:
    """What to do about a name that is not known: install a package here, or take a near one."""
    if Path(name, "pyproject.toml").is_file():
        return f" `pip install -e {shlex.quote(name)}` installs the package that lies here."
    file, _, attribute = name.partition(":")
    if file.endswith(".py"):
        return (
            f" A class of a file in the folder that you work in is named without its ending: "
            f"{Path(file).stem}:{attribute or 'ITS_CLASS'}."
        )
    if kind == "datasets" and Path(name).exists():
        return (
            " What lies here so called is described by a YAML file, which is named instead: "
            "`mmbench new dataset NAME` writes one to begin with."
        )
    return did_you_mean(name, known)


def path(kind: str, name: str) -> Path:
    """The YAML file of a dataset or recipe: a registered name, or a path to a file of one's own."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise MMBenchError(f"no {_SINGULAR[kind]} file at {name}")
        return Path(name)
    check(kind, name)
    return _files(kind)[name]


def summary(kind: str, name: str) -> str:
    """Its docstring's first line, or its file's `summary`. Imports nothing."""
    if kind in FILE_KINDS:
        return line_of(kind, name, "summary")
    of_module, of_part = docstrings(*home_of(*location(kind, name)))
    return (of_part or of_module).partition("\n")[0]


def line_of(kind: str, name: str, key: str) -> str:
    """What a registered YAML file says in a line of its own, without parsing it; "" if nothing.

    >>> line_of("recipes", "mcan_fusion", "title")
    'MCAN'
    """
    for line in path(kind, name).read_text(encoding="utf-8").split("\n"):
        if line.startswith(f"{key}:"):
            return line.removeprefix(f"{key}:").strip().strip("\"'")
    return ""


def check(kind: str, name: str) -> None:
    """Refuse a name that nothing of this kind has.

    Raises: MMBenchError naming the nearest one.
    """
    if not has(kind, name):
        if is_direct(kind, name):
            why = why_broken(*name.split(":")) or f"it is no {_SINGULAR[kind]}"
            raise MMBenchError(
                f"no {_SINGULAR[kind]} at '{name}': {why}.{_or_install(kind, name, [])} It takes "
                f"`module:Class` of a module that is installed, or in the folder {Path.cwd()}"
            )
        known, listed = names(kind), _COMMAND.get(kind, kind)
        raise MMBenchError(
            f"no {_SINGULAR[kind]} called '{name}'.{_or_install(kind, name, known)} "
            f"`mmbench list {listed}` shows all {len(known)}."
        )
