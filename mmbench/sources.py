"""What a module's source says of its classes, read without importing it.

To list parts, and to know which runs there are, nothing heavy may be imported; and the parts import
torch. What is looked up here is written down as literals in the class itself.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from mmbench.errors import MMBenchError

OWN_PACKAGES = ("mmbench", "mmbench_tasks", "mmbench_baselines")
Definition = ast.ClassDef | ast.FunctionDef


def spec_of(module: str) -> ModuleSpec | None:
    """Where a module is; None if it is not there. Imports the packages that it is in."""
    try:
        return importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):  # `a.b` where `a` is not a package
        return None


@cache
def parsed(module: str) -> ast.Module | None:
    """A module's source; None if it is not a file of Python.

    Raises: MMBenchError if it has a mistake of syntax.
    """
    spec = spec_of(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise MMBenchError(
            f"{spec.origin}, line {error.lineno}, is not Python: {error.msg}"
        ) from None


@cache
def definition(module: str, attribute: str) -> Definition | None:
    """The class or function of this name at the top of a module; None if it is not there."""
    tree = parsed(module)
    for node in tree.body if tree else ():
        if isinstance(node, Definition) and node.name == attribute:
            return node
    return None


def docstrings(module: str, attribute: str) -> tuple[str, str]:
    """The docstrings of a module and of a class or function in it; "" where there is none."""
    tree, node = parsed(module), definition(module, attribute)
    return (
        ast.get_docstring(tree) or "" if tree else "",
        ast.get_docstring(node) or "" if node else "",
    )


def class_expression(
    module: str, attribute: str, name: str, inherited: bool = False
) -> ast.expr | None:
    """What a class's body gives to a name, as it is written; None if it does not.

    Args:
        module: that the class is in.
        attribute: the class.
        name: looked for.
        inherited: whether to look at its bases too, those of mmbench and of its own package.
    """
    found = definition(module, attribute)
    if not isinstance(found, ast.ClassDef):
        return None
    for node in found.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return value
    for home, base in _bases(module, found) if inherited else ():
        value = class_expression(home, base, name, inherited=True)
        if value is not None:
            return value
    return None


def descends(module: str, attribute: str, ancestor: str) -> bool:
    """Whether a class has an ancestor of this name, of those that can be looked up."""
    module, attribute = home_of(module, attribute)
    if attribute == ancestor:
        return True
    found = definition(module, attribute)
    bases = _bases(module, found) if isinstance(found, ast.ClassDef) else ()
    return any(descends(home, base, ancestor) for home, base in bases)


def _bases(module: str, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Module and name of a class's bases, of those that can be looked up."""
    imported = _imported(module)
    for base in node.bases:
        if isinstance(base, ast.Name):
            home = imported.get(base.id, (module, base.id))
            if _is_light(home[0], module) and home != (module, node.name):
                yield home_of(*home)


def home_of(module: str, attribute: str) -> tuple[str, str]:
    """Module and name under which a class is written that a module may only import.

    Followed are imports of mmbench and of the module's own package.
    """
    seen = set()
    while definition(module, attribute) is None and (module, attribute) not in seen:
        seen.add((module, attribute))
        home = _imported(module).get(attribute)
        if home is not None and _is_light(home[0], module):
            module, attribute = home
    return module, attribute


def _is_light(module: str, importer: str) -> bool:
    """Whether looking for a module imports no package that may be heavy."""
    return module.partition(".")[0] in ("mmbench", importer.partition(".")[0])


@cache
def _imported(module: str) -> dict[str, tuple[str, str]]:
    """By name, the module and the name there of what a module imports `from` another."""
    tree, spec = parsed(module), spec_of(module)
    found: dict[str, tuple[str, str]] = {}
    for line in tree.body if tree and spec else ():
        if isinstance(line, ast.ImportFrom):
            home = "." * line.level + (line.module or "")
            if line.level and spec:
                home = importlib.util.resolve_name(home, spec.parent)
            found |= {alias.asname or alias.name: (home, alias.name) for alias in line.names}
    return found


def class_value(module: str, attribute: str, name: str, inherited: bool = False) -> Any:
    """The value that a class gives to a name, as JSON has it; None if it does not.

    Args: as of `class_expression`. What is not a literal is given as its text.
    """
    value = class_expression(module, attribute, name, inherited)
    return None if value is None else literal(value)


def constructor_defaults(module: str, attribute: str) -> dict[str, Any]:
    """By parameter, the default that a class's constructor has for it."""
    found = definition(module, attribute)
    for node in found.body if found else ():
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            placed = [*given.posonlyargs, *given.args]
            pairs: list[tuple[ast.arg, ast.expr | None]] = list(
                zip(placed[len(placed) - len(given.defaults) :], given.defaults, strict=True)
            )
            pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
            return {argument.arg: literal(value) for argument, value in pairs if value is not None}
    return {}


def literal(node: ast.expr) -> Any:
    """A literal's value as JSON has it; of anything else its text."""
    try:
        return _plain(ast.literal_eval(node))
    except (ValueError, TypeError):
        return ast.unparse(node)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
