"""Packages with one part of a user's own, as `mmbench new` writes them: a folder a kind.

In names of files and folders `NAME` stands for the part's name; in their text `$name` does,
`$Class` for its class, `$title` for what one calls it. A file ends in `.template` here alone.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from mmbench import registry
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.records.writing import writing_to

_HERE = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KINDS = {  # by kind: where its name must be free, and what its class's name ends in
    "fusion": (("fusions", "late_fusions"), "Fusion"),
    "encoder": (("encoders",), "Encoder"),
    "decoder": (("decoders",), "Decoder"),
    "metric": (("metrics",), ""),
    "objective": (("objectives",), ""),
    "task": (("tasks", "datasets"), ""),
    "dataset": (("datasets",), ""),
}


def write_package(kind: str, name: str, out: Path) -> Path:
    """Write a package with a working example of a part, a recipe and its contract's test.

    Args:
        kind: "fusion", "encoder", "decoder", "metric", "objective", "task" or "dataset".
        name: what it is registered as, in snake case.
        out: the folder in which the package's own folder is made.
    Returns: the package's folder, called after the part.
    Raises: MMBenchError for an unknown kind, a name that is taken or cannot be one, or a folder
        that is there.
    """
    if kind not in _KINDS:
        raise MMBenchError(
            f"cannot write a package of '{kind}'.{did_you_mean(kind, _KINDS)} "
            f"There is {', '.join(_KINDS)}."
        )
    kinds, ending = _KINDS[kind]
    _check_name(kinds, name)
    folder = out / name
    if folder.exists():
        raise MMBenchError(f"{folder} is there: choose another name, or another folder by --out")
    words = name.split("_")
    camel = "".join(word.capitalize() for word in words)
    values = {
        "name": name,
        "Class": camel if camel.endswith(ending) else camel + ending,
        "title": " ".join(words).capitalize(),
    }
    with writing_to(out):
        for path in sorted((_HERE / kind).rglob("*.template")):
            relative = str(path.relative_to(_HERE / kind)).removesuffix(".template")
            target = folder / relative.replace("NAME", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(path.read_text(encoding="utf-8")).substitute(values)
            target.write_text(text, encoding="utf-8")
        if kind in ("dataset", "task"):
            from mmbench.templates.squares import write_squares

            write_squares(folder / f"mmbench_{name}" / "data")
    return folder


def _check_name(kinds: tuple[str, ...], name: str) -> None:
    package = f"mmbench_{name}"
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise MMBenchError(
            f"'{name}' cannot be a part's name: it takes lower-case letters, digits and _, as in "
            "my_fusion"
        )
    for kind in kinds:
        if registry.has(kind, name):
            raise MMBenchError(f"there is a {registry.singular(kind)} {name}: choose another name")
    if package in registry.OWN_PACKAGES:
        raise MMBenchError(f"the package {package} is mmbench's own: choose another name")
