"""Families of metrics: one class that differs in a direction, a k, or the features it is of.

A family stands under one entry point of the group `mmbench.metric_families`, in place of a name
for each of its members.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import product
from typing import Any

WHOLE = r"[1-9]\d{0,8}"


@dataclass(frozen=True)
class Member:
    """One metric of a family; as an entry point, it is loaded when it is asked for.

    Attributes:
        value: `module:Class` that makes it.
        arguments: of the class, by name.
    """

    value: str
    arguments: Mapping[str, Any]

    @property
    def module(self) -> str:
        """Where the class is."""
        return self.value.partition(":")[0]

    @property
    def attr(self) -> str:
        """The class's name."""
        return self.value.partition(":")[2]

    def load(self) -> Any:
        """What makes the metric when it is called."""
        return partial(getattr(import_module(self.module), self.attr), **self.arguments)


@dataclass(frozen=True)
class Family:
    """Metrics of one class.

    Attributes:
        pattern: of their names: `{direction}_recall_at_{k}`.
        value: `module:Class`; what stands in braces are arguments of its constructor.
        choices: by argument, the values that are listed.
        any_whole: arguments that may be any whole number from 1 up, listed or not.
    """

    pattern: str
    value: str
    choices: Mapping[str, tuple[Any, ...]]
    any_whole: tuple[str, ...] = ()

    def members(self) -> Iterator[tuple[str, Member]]:
        """The listed ones by name.

        >>> family = Family("{side}_at_{k}", "a:B", {"side": ("left",), "k": (1, 5)})
        >>> [name for name, _ in family.members()]
        ['left_at_1', 'left_at_5']
        """
        for values in product(*self.choices.values()):
            arguments = dict(zip(self.choices, values, strict=True))
            yield self.pattern.format_map(arguments), Member(self.value, arguments)

    def find(self, name: str) -> Member | None:
        """The member of this name; None if there is none.

        >>> family = Family("{side}_at_{k}", "a:B", {"side": ("left",), "k": (1, 5)}, ("k",))
        >>> family.find("left_at_20").arguments, family.find("left_at_0"), family.find("up_at_1")
        ({'side': 'left', 'k': 20}, None, None)
        """
        parts = re.split(r"\{(\w+)\}", self.pattern)  # text and arguments in turn
        found = re.fullmatch(
            "".join(self._group(p) if at % 2 else re.escape(p) for at, p in enumerate(parts)), name
        )
        if found is None:
            return None
        arguments = {key: self._value(key, text) for key, text in found.groupdict().items()}
        return Member(self.value, arguments)

    def _group(self, key: str) -> str:
        listed = "|".join(re.escape(str(value)) for value in self.choices[key])
        return f"(?P<{key}>{WHOLE if key in self.any_whole else listed})"

    def _value(self, key: str, text: str) -> Any:
        by_text = {str(value): value for value in self.choices[key]}
        return by_text[text] if text in by_text else int(text)
