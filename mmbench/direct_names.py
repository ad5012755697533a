"""Parts named by where they are written, `mypackage.module:Class`, without an entry point."""

from __future__ import annotations

import ast
import re
import sys
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from mmbench.errors import MMBenchError, did_you_mean, in_one_line
from mmbench.sources import descends, parsed, spec_of

KINDS = (
    *("encoders", "fusions", "late_fusions", "decoders"),
    *("objectives", "balance", "metrics", "predictors"),
)
_CONTRACTS = {  # by kind, what its classes descend from
    "late_fusions": ("LateFusion",),
    "fusions": ("Fusion",),
    "encoders": ("Encoder",),
    "decoders": ("TextDecoder", "ImageDecoder"),
    "objectives": ("Objective",),
    "balance": ("Balance",),
    "metrics": ("Metric",),
}
OTHER_LIBRARIES = ("evaluate:", "torchmetrics:")  # what their metrics' names begin with
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_direct(kind: str, name: str) -> bool:
    """Whether a name is `module:Class`, of a kind that may be named so.

    >>> is_direct("fusions", "my_fusion:Mine"), is_direct("fusions", "gated")
    (True, False)
    """
    if kind == "metrics" and name.startswith(OTHER_LIBRARIES):
        return False
    return kind in KINDS and _NAME.fullmatch(name) is not None


def direct_entry(kind: str, name: str) -> EntryPoint | None:
    """What `module:Class` stands for; None if there is no such module, or it is of another kind.

    A module of the folder that one works in is found too, unless an installed one is called so.
    Imports nothing but the packages that it is in.
    """
    if not is_direct(kind, name):
        return None
    module, _, attribute = name.partition(":")
    _find_here(module)
    if spec_of(module) is None:
        return None
    if kind in ("fusions", "late_fusions"):
        late = descends(module, attribute, "LateFusion")
        if late is not (kind == "late_fusions"):
            return None
    return EntryPoint(name=name, value=name, group=f"mmbench.{kind}")


def kind_of_class(name: str) -> str | None:
    """The kind whose contract the class `module:Class` extends, as far as its source tells."""
    if _NAME.fullmatch(name) is None:
        return None
    module, _, attribute = name.partition(":")
    _find_here(module)
    for kind, ancestors in _CONTRACTS.items():
        if any(descends(module, attribute, ancestor) for ancestor in ancestors):
            return kind
    return None


def _find_here(module: str) -> None:
    """Put the folder one works in last on the path, if that is where a module is found."""
    top, here = module.partition(".")[0], str(Path.cwd())
    if here not in sys.path and PathFinder.find_spec(top, [here]) and spec_of(top) is None:
        sys.path.append(here)


def why_broken(module: str, attribute: str) -> str:
    """Why what should be in a module is not there to be imported; "" if its source has it."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError as error:
        return f"there is no module '{error.name}'"
    except Exception as error:  # whatever a stranger's package raises: it is told
        return f"importing the package of {module} fails: {type(error).__name__}: " + in_one_line(
            error
        )
    if spec is None:
        return f"there is no module '{module}'"
    try:
        tree = parsed(module)
    except MMBenchError as error:
        return str(error)
    names = set() if tree is None else _names(tree)
    first = attribute.partition(".")[0]
    if not names or first in names or names & {"*", "__getattr__"}:
        return ""
    return f"{module} defines no '{first}'.{did_you_mean(first, sorted(names))}"


def _names(tree: ast.Module) -> set[str]:
    """All names that a module binds, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found
