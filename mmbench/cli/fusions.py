"""What `mmbench list` and `show` print of fusions: kind, cost, and what each cannot do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.reports.counts import count
from mmbench.reports.escape import one_line
from mmbench.zoo.fusion.facts import MODALITIES, POSITIONS, TOKENS, WIDTH, Facts, facts_of

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = ("fusions", "late_fusions")
_LARGEST_WIDTH = 65_536
_CLASSES = 10  # that decisions are between, where one is tried out
_YES = {True: "yes", False: "no", None: ""}


def list_text(kind: str) -> str:
    """A line a fusion: family, what it reads, whether it is causal, what it costs, what it is."""
    lost = {name: why for name in registry.names(kind) if (why := registry.broken(kind, name))}
    found = [facts_of(kind, name) for name in registry.names(kind) if name not in lost]
    rows = [("name", "family", "query", "contexts", "causal", "parameters", "operations", "")]
    for facts in found:
        costs = facts.cost_at()
        parameters, operations = ("-", "-") if costs is None else map(count, costs)
        reads = (facts.query_form, facts.context_form, _YES[facts.causal])
        rows.append((facts.name, facts.family, *reads, parameters, operations, facts.title))
    columns = [[one_line(cell) for cell in column] for column in zip(*rows, strict=True)]
    lines = []
    for cells in zip(*(_even(column) for column in columns if any(column[1:])), strict=True):
        lines.append("  ".join(cells).rstrip())
    width = max(map(len, columns[0]))
    lines += [f"{one_line(name):<{width}}  {one_line(why)}" for name, why in lost.items()]
    more = {
        "fusions": f"Operations are of one sample, with {MODALITIES} modalities: {POSITIONS} "
        f"positions of a query and {TOKENS} tokens of a\ncontext where these are read, one vector "
        "otherwise. `mmbench list late_fusions` has those of decisions.",
        "late_fusions": "Cost besides the classifier of each modality.",
    }
    return "\n".join([*lines, "", f"At width {WIDTH}. {more[kind]}"])


def _even(column: list[str]) -> list[str]:
    """Cells of equal width: numbers to the right, words to the left."""
    width = max(map(len, column))
    right = column[0] in ("parameters", "operations")
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]


def show_rows(kind: str, name: str, width: int | None = None) -> tuple[Facts, dict[str, Any]]:
    """What the source of a fusion says of it, and the rows that `mmbench show` prints.

    Args:
        kind: "fusions" or "late_fusions".
        name: it is registered by.
        width: D that its cost is told at; None for the usual one.
    Raises: MMBenchError for a width that no model has, or that the fusion cannot have.
    """
    width = WIDTH if width is None else width
    if not 1 <= width <= _LARGEST_WIDTH:
        raise MMBenchError(f"--width must be from 1 to {_LARGEST_WIDTH}, got {width}")
    facts = facts_of(kind, name)
    counted = _counted(facts, width)
    by_formula = facts.cost_at(width) or (None, None)
    formulas = (facts.cost.parameters, facts.cost.operations) if facts.cost else (None, None)
    where = f"at width {width} with {MODALITIES} modalities"
    sizes = "a sample" if kind == "late_fusions" else f"at T {facts.positions}, N {facts.tokens}"
    letters = "D: width, M: modalities, T: positions of the query, N: tokens of each context"
    return facts, {
        "equation": facts.equation,
        "source": facts.source,
        "family": facts.family,
        "reads": _read(facts),
        "options": ", ".join(f"{key}={value}" for key, value in facts.options.items()),
        "parameters": _cost_lines(counted[0], by_formula[0], formulas[0], where),
        "operations": _cost_lines(counted[1], by_formula[1], formulas[1], f"{where}, {sizes}"),
        "letters": letters if facts.cost else None,
        "cannot": limits(facts, counted[2]),
    }


def _read(facts: Facts) -> str:
    if facts.kind == "late_fusions":
        return "logits of each modality"
    words = {"pooled": "one vector", "tokens": "all tokens", "": "(not said)"}
    return f"{words[facts.query_form]} of the query, {words[facts.context_form]} of each context"


def _cost_lines(counted: int, computed: int | None, formula: str | None, where: str) -> list[str]:
    if computed is None:
        return [f"{counted:,} counted {where}; no formula"]
    return [f"{computed:,} by formula, {counted:,} counted {where}", f"formula: {formula}"]


def _counted(facts: Facts, width: int) -> tuple[int, int, bool]:
    """Parameters, operations of a sample, and whether shares are told, of one that is built."""
    import torch

    from mmbench.experiments.operations import operations_of
    from mmbench.training.memory import within_memory

    with within_memory(torch.device("cpu"), trains=False):
        fusion, call = _tried(facts, width)
        operations = operations_of(call)
        with torch.inference_mode():
            shares = call().shares is not None
    return sum(p.numel() for p in fusion.parameters()), operations, shares


def _tried(facts: Facts, width: int) -> tuple[nn.Module, Callable[[], Any]]:
    """A fusion of random weights, and a call of it on one random sample."""
    import torch

    from mmbench.parts import build_fusion, build_late_fusion
    from mmbench.recipe import Recipe
    from mmbench.zoo.stream import Stream

    def random(*shape: int) -> Tensor:
        return torch.randn(1, *shape)

    recipe = Recipe.model_validate({"fusion": facts.name, "width": width})
    if facts.kind == "late_fusions":
        names = ("query", "context")
        late = build_late_fusion(recipe, names, _CLASSES).eval()
        logits = [random(_CLASSES) for _ in names]
        present = [torch.ones(1, dtype=torch.bool) for _ in names]
        return late, lambda: late(logits, present)
    fusion = build_fusion(recipe, ("context",)).eval()
    query = Stream.whole(random(facts.positions, width))
    context = Stream.whole(random(facts.tokens, width))
    return fusion, lambda: fusion(query, [context])


def limits(facts: Facts, shares: bool) -> list[str]:
    """What a fusion cannot do, in words; `shares`: whether it says how much each counted."""
    found = []
    if facts.kind == "late_fusions":
        found += [
            "stand in a task without a classifier, such as captioning",
            "learn what only modalities together tell: each decides by itself",
        ]
    if facts.causal is False:
        found.append("stand in a text decoder (captioning): it is not causal")
    if facts.query_form == "pooled":
        found.append("relate the query's words: it reads one vector, each position by itself")
    if facts.context_form == "pooled":
        found.append("look at parts of a context: it reads one vector of each")
    if facts.most_contexts is not None:
        found.append(f"join more than {facts.most_contexts} contexts")
    if facts.kind == "fusions":
        found += _impossible_widths(facts)
    if not shares:
        found.append("say how much each modality counted")
    return found


def _impossible_widths(facts: Facts) -> list[str]:
    """Which widths its constructor refuses, tried out, and its reason."""
    from mmbench.zoo.part import build_part

    fit, why = [], ""
    for width in range(1, 33):
        try:
            build_part(facts.kind, facts.name, {}, dim=width, contexts=("context",))
            fit.append(width)
        except MMBenchError as error:
            why = str(error).removeprefix(f"{facts.name}: ")
    step = math.gcd(*fit)
    return [f"have a width that is no multiple of {step} ({why})"] if step > 1 else []
