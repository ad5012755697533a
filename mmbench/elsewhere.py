"""Models from elsewhere, named by what asks them: `hf:REPO@REVISION`, `mypackage.module:Class`.

They need no recipe of their own: the name is one, of a predictor and what it loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.direct_names import is_direct
from mmbench.errors import MMBenchError
from mmbench.sources import class_value


def recipe_of(name: str) -> dict[str, Any] | None:
    """The recipe that a model's name stands for, as its YAML file would have it; None if none.

    A predictor whose class says which of its options its name gives (`named_by`) is named by them,
    the second one, if any, after the last `@`.
    Raises: MMBenchError if nothing follows the colon.
    """
    scheme, colon, rest = name.partition(":")
    if not colon or name.endswith((".yaml", ".yml")):
        return None
    options = _named_by(scheme)
    if options:
        if not rest.strip():
            raise MMBenchError(f"{name} names no model: it is {_form(scheme, options)}")
        values = rest.rsplit("@", len(options) - 1) if len(options) > 1 else [rest]
        return {"predictor": {"name": scheme, **dict(zip(options, values, strict=False))}}
    return {"predictor": {"name": name}} if is_direct("predictors", name) else None


def overrides_of(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What is set of a model from elsewhere, as its recipe has it: its predictor's own options."""
    if recipe_of(name) is None:
        return dict(overrides)
    own = "predictor."
    return {key if key.startswith(own) else own + key: value for key, value in overrides.items()}


def short_name(name: str) -> str:
    """What a model from elsewhere is called in tables: of a folder its last part alone.

    >>> short_name("hf:org/name"), short_name("gated_fusion")
    ('hf:org/name', 'gated_fusion')
    """
    scheme, colon, rest = name.partition(":")
    folder = Path(rest)
    if colon and _named_by(scheme) and (folder.is_absolute() or folder.is_dir()):
        return f"{scheme}:{folder.name}"
    return name


def forms() -> dict[str, str]:
    """By predictor, how models are named by it on a command line: `hf:PRETRAINED[@REVISION]`."""
    found = {name: _named_by(name) for name in registry.names("predictors") if name != "python"}
    return {name: _form(name, options) for name, options in found.items() if options}


def _form(scheme: str, options: tuple[str, ...]) -> str:
    first, *others = (option.upper() for option in options)
    return f"{scheme}:{first}" + "".join(f"[@{other}]" for other in others)


def _named_by(scheme: str) -> tuple[str, ...]:
    if scheme not in registry.names("predictors"):
        return ()
    return tuple(class_value(*registry.location("predictors", scheme), "named_by") or ())
