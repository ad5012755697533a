"""Builds a member of the zoo from its name and the options that a recipe gives it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mmbench import registry
from mmbench.errors import MMBenchError, did_you_mean

_LARGEST = 2**31 - 1  # of a size: torch counts no further in every dimension

FROZEN = " (frozen)"  # ends the name of a part whose parameters are frozen, in counts of them


def build_part(kind: str, name: str, options: Mapping[str, Any], **context: Any) -> Any:
    """The encoder, fusion or decoder called `name`.

    Args:
        kind: "encoders", "fusions" or "decoders".
        name: a registered name.
        options: what the recipe sets; each must be a parameter of its constructor.
        context: what the task knows (width, size of the vocabulary, ...); what the constructor
            does not take is left out.
    Raises: MMBenchError for an unknown name or option, an option of the wrong type, or a part that
        needs what neither the task nor the recipe gives.
    """
    cls, chosen = _chosen(kind, name, options, context)
    parameters = inspect.signature(cls).parameters
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.name not in chosen]
    if needed:
        raise MMBenchError(
            f"the {registry.singular(kind)} {name} cannot stand here: nothing gives it "
            f"{' and '.join(needed)}. Choose another one of `mmbench list {kind}`"
        )
    try:
        return cls(**chosen)
    except ValueError as error:  # a size out of range; the constructor says which
        raise MMBenchError(f"{name}: {error}") from None


def check_options(kind: str, name: str, options: Mapping[str, Any], given: Sequence[str]) -> None:
    """Refuse options that a part does not have, without making it.

    Args:
        given: what it will be told besides, which no recipe may set.
    Raises: MMBenchError for an unknown option, or one of the wrong type.
    """
    _chosen(kind, name, options, dict.fromkeys(given))


def part_class(kind: str, name: str) -> type[Any]:
    """The class of a registered part.

    Raises: MMBenchError for an unknown name, or what is no class.
    """
    cls = registry.load(kind, name)
    if not inspect.isclass(cls):
        raise MMBenchError(
            f"the {registry.singular(kind)} {name} is a {type(cls).__name__}, and it must be a "
            "class: what it takes and keeps is read from that"
        )
    return cls


def _chosen(
    kind: str, name: str, options: Mapping[str, Any], context: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A part's class, and the arguments of its constructor."""
    cls = part_class(kind, name)
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise MMBenchError(
            f"the {registry.singular(kind)} {name} lacks {', '.join(missing)}, which its contract "
            "asks for: it is unfinished, or written for an earlier version"
        )
    parameters = inspect.signature(cls).parameters
    settable = [p for p in parameters if p not in context]
    types = typing.get_type_hints(cls.__init__)
    chosen = {key: value for key, value in context.items() if key in parameters}
    for key, value in options.items():
        if key not in settable:
            known = f"It takes {', '.join(settable)}." if settable else "It takes none."
            raise MMBenchError(
                f"{name} has no option '{key}'.{did_you_mean(key, settable)} {known}"
            )
        try:
            adapter = TypeAdapter(types.get(key, Any))
            chosen[key] = adapter.validate_json(json.dumps(value), strict=True)
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise MMBenchError(f"{name}.{key} must be at most {_LARGEST:,}, got {value:.2e}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([name, key, *map(str, first["loc"])])
            problem = first["msg"].replace("Input should", "must")
            raise MMBenchError(f"{where} {problem}, got {first['input']!r}") from None
    return cls, chosen
