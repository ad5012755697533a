"""What code a part is, told without importing it: a version of mmbench's own, a hash of another's.

A part of mmbench's own has an integer, the `version` in its class's body (1 where there is none),
which is raised when the part behaves otherwise. Of a part that someone else made, the source is
hashed: its module's file, and what that imports of its own package or from beside it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.sources import OWN_PACKAGES, class_value, constructor_defaults, spec_of


def part_version(kind: str, name: str) -> int | str:
    """The version of a registered part: an integer of mmbench's own, "sha256:..." of another's.

    Raises: MMBenchError if another's part is not where its name leads, or its source cannot be
        read.
    """
    module, attribute = registry.location(kind, name)
    if is_own(kind, name):
        version = class_value(module, attribute, "version")
        return version if isinstance(version, int) else 1
    if why := registry.broken(kind, name):
        raise MMBenchError(f"the {registry.singular(kind)} {name} is {why}")
    return f"sha256:{source_hash(module, f'{registry.singular(kind)} {name}')}"


def is_own(kind: str, name: str) -> bool:
    """Whether a registered part is mmbench's own.

    >>> is_own("fusions", "gated")
    True
    """
    return registry.location(kind, name)[0].partition(".")[0] in OWN_PACKAGES


def part_defaults(kind: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a part that its constructor has defaults for.

    Returns: by option, the default of now; and the one that it had when it was added, as the
        class's `added_with` holds it (a default that was changed since is another behaviour).
    """
    module, attribute = registry.location(kind, name)
    added = class_value(module, attribute, "added_with")
    return constructor_defaults(module, attribute), added if isinstance(added, dict) else {}


def undeciding(kind: str, name: str) -> tuple[str, ...]:
    """The options of a part that decide nothing of what it computes (its `decides_nothing`)."""
    return tuple(class_value(*registry.location(kind, name), "decides_nothing") or ())


def source_hash(module: str, what: str) -> str:
    """SHA-256 of a module's file and of those it imports from its own package or folder.

    Args:
        module: its dotted name.
        what: it is, for an error.
    Raises: MMBenchError if a file cannot be read.
    """
    content = hashlib.sha256()
    for name, path in sorted(_own_files(module, what).items()):
        content.update(f"{name}\0".encode())
        content.update(_read(path, what))
    return content.hexdigest()[:16]


def _own_files(module: str, what: str) -> dict[str, Path]:
    """By dotted name, the file of a module and of all that it reaches in its package or folder."""
    spec = spec_of(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise MMBenchError(
            f"the source of {what} (module {module}) cannot be read, so that a run of it could not "
            "be told from one of other code. Install it as files"
        )
    root = module.partition(".")[0]
    beside = Path(spec.origin).parent if "site-packages" not in Path(spec.origin).parts else None
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        spec = spec_of(name)
        if name in found or spec is None or spec.origin is None or not Path(spec.origin).is_file():
            continue
        path = Path(spec.origin)
        if name.partition(".")[0] != root and path.parent != beside:
            continue
        found[name] = path
        waiting += list(_imports(name, path, what)) if path.suffix == ".py" else []
    return found


def _imports(module: str, path: Path, what: str) -> Iterator[str]:
    """Names that a module's file imports, wherever in it; of `from a import b`, `a` and `a.b`."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(_read(path, what))
    except SyntaxError as error:
        raise MMBenchError(f"{what} is not Python: {path}, line {error.lineno}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], base]).strip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MMBenchError(
            f"the source of {what} cannot be read: {path}: {error.strerror}"
        ) from None
