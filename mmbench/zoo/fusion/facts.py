"""What a fusion's source says of it: equation, paper, family, what it reads, what it costs.

Nothing is imported for it, so that all fusions are listed at once. `mmbench list` and `show`, and
docs/fusions.md, are made of these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.sources import (
    class_expression,
    class_value,
    constructor_defaults,
    docstrings,
    home_of,
)
from mmbench.zoo.fusion.cost import Cost

# Where costs are told: positions and tokens of what reads tokens; what reads one vector has one.
WIDTH, MODALITIES, POSITIONS, TOKENS = 128, 2, 16, 64


@dataclass(frozen=True)
class Facts:
    """A fusion, as its source describes it.

    Attributes:
        kind: "fusions" or "late_fusions".
        name: it is registered by.
        title: what it is, a line of prose.
        equation: the first line of its class's docstring.
        notes: the rest of that docstring: letters, arguments, shapes, missing contexts.
        source: paper and equations, and what is otherwise here.
        family: a word or two; "" where it does not say.
        query_form: "pooled", "tokens", or "" where it does not say; fusions of decisions read
            logits and say nothing.
        context_form: the same of its contexts.
        causal: whether it can stand in a text decoder; None where it does not say.
        most_contexts: that it is defined for; None for any number.
        options: of its constructor, with their defaults.
        cost: its formulas; None where nobody has written them down.
    """

    kind: str
    name: str
    title: str
    equation: str
    notes: str
    source: str
    family: str
    query_form: str
    context_form: str
    causal: bool | None
    most_contexts: int | None
    options: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None

    @property
    def positions(self) -> int:
        """T, of the query, at which its cost is told."""
        return POSITIONS if self.query_form == "tokens" else 1

    @property
    def tokens(self) -> int:
        """N, of each context, at which its cost is told."""
        return TOKENS if self.context_form == "tokens" else 1

    def cost_at(self, width: int = WIDTH) -> tuple[int, int] | None:
        """Parameters and operations by formula, of two modalities; None without a formula.

        Raises: MMBenchError if a formula cannot be computed.
        """
        if self.cost is None:
            return None
        try:
            return self.cost.of(width, MODALITIES, self.positions, self.tokens, **self.options)
        except MMBenchError as error:
            raise MMBenchError(f"{self.name}: {error}") from error


def facts_of(kind: str, name: str) -> Facts:
    """What the source of a registered fusion says.

    Args:
        kind: "fusions" or "late_fusions".
        name: it is registered by.
    Raises: MMBenchError naming the nearest name if there is none called so.
    """
    where = home_of(*registry.location(kind, name))
    of_module, of_class = docstrings(*where)
    title, _, told = of_module.partition("\n")
    equation, _, notes = of_class.partition("\n")
    paragraphs = re.split(r"\n\s*\n", told.strip())
    source = [p.removeprefix("Source:") for p in paragraphs if p.startswith("Source:")]
    others = [p for p in paragraphs if p and not p.startswith("Source:")]

    def value(attribute: str) -> Any:
        return class_value(*where, attribute, inherited=True)

    return Facts(
        kind=kind,
        name=name,
        title=title or equation,
        equation=equation,
        notes="\n\n".join([*others, notes.strip()]).strip(),
        source=" ".join(" ".join(source).split()),
        family=value("family") or "",
        query_form=value("query_form") or "",
        context_form=value("context_form") or "",
        causal=value("causal"),
        most_contexts=value("most_contexts"),
        options=constructor_defaults(*where),
        cost=_cost(class_expression(*where, "cost", inherited=True)),
    )


def _cost(written: ast.expr | None) -> Cost | None:
    """The cost that a class writes as `Cost("...", "...")`; None of anything else."""
    if not isinstance(written, ast.Call) or ast.unparse(written.func).split(".")[-1] != "Cost":
        return None
    try:
        placed = [ast.literal_eval(argument) for argument in written.args]
        return Cost(
            *placed, **{k.arg: ast.literal_eval(k.value) for k in written.keywords if k.arg}
        )
    except (TypeError, ValueError):  # formulas that are put together elsewhere
        return None
