"""YAML files read into typed settings, with errors that name the file and the key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmbench.errors import MMBenchError, brief, did_you_mean, in_one_line
from mmbench.json_text import HALF_CHARACTER, whole_characters

MOST_VALUES = 100_000  # of a file: more are aliases of aliases, which grow without end

_NEVER = object()  # equal to no value


class Settings(BaseModel):
    """Settings as a file gives them: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def changed(self) -> dict[str, Any]:
        """By name, as plain JSON, the values that differ from those that fields were added with."""
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and values[name] == extra.get("added_with", _NEVER):
                del values[name]
        return values


def setting(default: Any, *, added_with: Any, **limits: Any) -> Any:
    """A field of settings that decides results.

    Args:
        default: of now.
        added_with: the default that it had when it was added; frozen, so that a run's identity
            moves when the default does, and not when a field is added (see `Settings.changed`).
        limits: as of `pydantic.Field`.
    """
    return Field(default, json_schema_extra={"added_with": added_with}, **limits)


S = TypeVar("S", bound=Settings)


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but `2e-3` is a number as it is in YAML 1.2, and `yes`, `no` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, origin: str) -> Any:
    """The value that a YAML text holds.

    Args:
        text: the YAML.
        origin: what an error calls it: a path, "--set train.epochs".
    Raises: MMBenchError if it is not YAML, nested more deeply than can be read, refers to itself,
        or holds, with what its aliases stand for, more than MOST_VALUES values.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise MMBenchError(f"{origin}: not valid YAML{line}: {problem}") from None
    except RecursionError:
        raise MMBenchError(f"{origin}: not YAML that can be read: nested too deeply") from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # What PyYAML raises for a date without such a day, a `!!bool` that is none.
        raise MMBenchError(f"{origin}: not valid YAML: {in_one_line(error)}") from None
    _check_count(value, origin)
    return whole_characters(value) if HALF_CHARACTER.search(text) else value


def _check_count(value: Any, origin: str) -> None:
    waiting, count = [value], 0
    while waiting:
        count += 1
        if count > MOST_VALUES:
            raise MMBenchError(
                f"{origin}: holds more than {MOST_VALUES:,} values, or an alias of itself"
            )
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting += [*inner, *inner.values()]
        elif isinstance(inner, list | tuple | set):
            waiting += inner


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise MMBenchError(f"{path}: cannot be read: {error}") from None
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise MMBenchError(f"{path}: must be a mapping of keys to values")
    return value


def validate(model: type[S], value: dict[str, Any], origin: str) -> S:
    """The settings, or an MMBenchError that names the origin, the key and what is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # A key that is not known first: it may be what a missing one was meant to be.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise MMBenchError(f"{origin}: {_explain(model, first)}") from None


def _explain(model: type[BaseModel], error: Any) -> str:
    keys = [str(part) for part in error["loc"]]
    key = ".".join(keys)
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, keys[:-1])
        deeper = [name for name in known if keys[-1] in _known_keys(model, [*keys[:-1], name])]
        path = ".".join([*keys[:-1], ""])
        hint = did_you_mean(keys[-1], known).replace("mean ", f"mean {path}")
        if deeper and _is_list(model, [*keys[:-1], deeper[0]]):
            within = f"{deeper[0]}=[{{..., {keys[-1]}: ...}}]"
            hint = f" Each of `{path}{deeper[0]}` may have one: {within}."
        elif deeper:
            hint = f" Did you mean {path}{deeper[0]}.{keys[-1]}?"
        return f"no key '{key}'.{hint} Known here: {', '.join(known)}."
    if error["type"] == "missing":
        return f"the key '{key}' is missing"
    message = re.sub(r"^(?:Input|Value error,) ?(?:should )?", "must ", error["msg"])
    message = message.replace("greater than or equal to", "at least")
    message = message.replace("less than or equal to", "at most")
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
    got = error["input"]
    return (
        f"{key} {message}, got {brief(got)}"
        if error["type"] != "value_error"
        else f"{key} {message}"
    )


def _known_keys(model: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """The keys that settings have at a place, such as `stages.0` or `hub.splits.train`."""
    return list(_settings_at(model, keys).model_fields)


def _is_list(model: type[BaseModel], keys: Sequence[str]) -> bool:
    annotation = _settings_at(model, keys[:-1]).model_fields[keys[-1]].annotation
    return get_origin(annotation) in (list, tuple)


def _settings_at(model: type[BaseModel], keys: Sequence[str]) -> type[BaseModel]:
    for key in keys:
        field = model.model_fields.get(key)  # none of a place in a list, or a name in a mapping
        model = (_settings_in(field.annotation) if field else None) or model
    return model


def _settings_in(annotation: Any) -> type[BaseModel] | None:
    """The settings that a type is of: itself, or what a list, mapping or choice of types holds."""
    if get_origin(annotation) is None:
        is_settings = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return annotation if is_settings else None
    found = (_settings_in(inner) for inner in get_args(annotation))
    return next((each for each in found if each is not None), None)
