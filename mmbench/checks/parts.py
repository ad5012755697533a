"""A part checked by its name: which contract it is of, and what does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.errors import MMBenchError, did_you_mean

if TYPE_CHECKING:
    from mmbench.checks.contract import Check, Make, Outcome

# By the registry's kind, the module of a contract and what in it makes the part.
_CONTRACTS = {
    "fusions": ("mmbench.checks.fusion", "fusion_maker"),
    "late_fusions": ("mmbench.checks.late_fusion", "late_fusion_maker"),
    "encoders": ("mmbench.checks.encoder", "encoder_maker"),
    "decoders": ("mmbench.checks.decoder", "decoder_maker"),
    "objectives": ("mmbench.checks.objective", "objective_maker"),
    "tasks": ("mmbench.checks.task", "task_maker"),
    "metrics": ("mmbench.checks.metric", "metric_maker"),
    "datasets": ("mmbench.checks.dataset", "dataset_maker"),
}
CHECKED = {  # what one calls a kind -> the kinds that it may be of
    "fusion": ("fusions", "late_fusions"),
    "encoder": ("encoders",),
    "decoder": ("decoders",),
    "metric": ("metrics",),
    "objective": ("objectives",),
    "task": ("tasks",),
    "dataset": ("datasets",),
}


def kinds_of(what: str) -> tuple[str, ...]:
    """The registry's kinds of what one calls "fusion", "encoder", ...

    Raises: MMBenchError for what has no contract to be checked.
    """
    if what not in CHECKED:
        raise MMBenchError(
            f"cannot check '{what}'.{did_you_mean(what, CHECKED)} There is {', '.join(CHECKED)}."
        )
    return CHECKED[what]


def check_part(
    what: str, name: str, options: Mapping[str, Any] | None = None, width: int | None = None
) -> list[Outcome]:
    """Run a part's contract, in seconds, on a CPU.

    Args:
        what: "fusion", "encoder", "decoder", "metric", "objective", "task" or "dataset".
        name: registered, or `module:Class`; of a dataset, or its YAML file.
        options: of the part, as a recipe has them.
        width: of its streams; a small one that it can have if None.
    Returns: an outcome a check.
    Raises: MMBenchError for a part that does not exist or cannot be made.
    """
    kinds = kinds_of(what)
    is_file = kinds == ("datasets",) and name.endswith((".yaml", ".yml"))
    kind = "datasets" if is_file else registry.kind_of(name, kinds)
    return check_kind(kind, name, options or {}, width)


def check_kind(
    kind: str, name: str, options: Mapping[str, Any], width: int | None = None
) -> list[Outcome]:
    """As `check_part`, of a kind of the registry."""
    from mmbench.checks.contract import run_checks

    module, maker = _CONTRACTS[kind]
    contract = import_module(module)
    checks: Sequence[Check] = contract.CHECKS
    make_maker: Callable[..., Make] = getattr(contract, maker)
    make = make_maker(name, options, width)
    return run_checks(checks, make)


def refused_by_compare(kind: str) -> bool:
    """Whether what is of a kind of the registry, and does not keep its contract, is not compared.

    Decoders and objectives fit some tasks alone, and are tried here on one.
    """
    return kind in ("fusions", "late_fusions", "encoders")


def failures(
    what: str, name: str, options: Mapping[str, Any] | None = None, width: int | None = None
) -> list[str]:
    """What a part does not keep of its contract, a line a check; none if it keeps it.

    Arguments as of `check_part`.

    >>> failures("fusion", "gated")
    []
    """
    return problems(check_part(what, name, options, width))


def problems(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each check that does not hold: what it is, what does not, and what is due."""
    return [f"{o.name}: {o.problem} (due: {o.due.rstrip('.')})" for o in outcomes if o.problem]
