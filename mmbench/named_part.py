"""A part as a recipe names it: `gru`, or `{name: gru, layers: 2}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, field_validator

from mmbench.json_values import not_finite
from mmbench.yaml_file import Settings


class Part(Settings):
    """One member of the zoo and its options. In YAML: `gru`, or `{name: gru, layers: 2}`.

    Without a name, as in `{layers: 2}`, it is the task's default with other options.
    """

    name: str = ""
    options: dict[str, Any] = {}

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        for key, number in not_finite(options):
            raise ValueError(f"{key} must be a finite number, got {number}")
        return options

    def over(self, default: Part) -> Part:
        """This part; the default with this one's options where it has no name."""
        return (
            self if self.name else Part(name=default.name, options=default.options | self.options)
        )


PartLike = str | Mapping[str, Any]  # as YAML has it


def read_part(value: PartLike | Part) -> Part:
    """A part as YAML has it: `gru`, `{name: gru, layers: 2}`, or options alone."""
    return value if isinstance(value, Part) else Part.model_validate(_read_part(value))


def _read_part(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "options" not in value:
        options = {k: v for k, v in value.items() if k != "name"}
        return {"name": value.get("name", ""), "options": options}
    return value


PartField = Annotated[Part, BeforeValidator(_read_part)]
