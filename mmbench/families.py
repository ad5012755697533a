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
        choices: by argument, the values that are listed. A whole number may have others.
    """

    pattern: str
    value: str
    choices: Mapping[str, tuple[Any, ...]]

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
        """The member of this name, listed or with another whole number; None if there is none.

        >>> family = Family("{side}_at_{k}", "a:B", {"side": ("left",), "k": (1, 5)})
        >>> family.find("left_at_20").arguments, family.find("left_at_0"), family.find("up_at_1")
        ({'side': 'left', 'k': 20}, None, None)
        """
        groups = {
            key: r"[1-9]\d{0,8}" if isinstance(values[0], int) else "|".join(map(re.escape, values))
            for key, values in self.choices.items()
        }
        parts = re.split(r"\{(\w+)\}", self.pattern)
        pattern = "".join(
            f"(?P<{part}>{groups[part]})" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
        found = re.fullmatch(pattern, name)
        if found is None:
            return None
        whole = {key for key, values in self.choices.items() if isinstance(values[0], int)}
        given = found.groupdict()
        return Member(self.value, {k: int(v) if k in whole else v for k, v in given.items()})
