"""What a comparison found, in words: no more than the numbers carry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mmbench.statistics.comparison import Difference
from mmbench.statistics.measured import Quantity


def of_pair(
    found: Difference, metric: Quantity, adjusted: float, different: bool, least: float | None
) -> str:
    """A sentence on two models.

    Args:
        found: their difference.
        metric: what it is measured by; values are shown on its scale.
        adjusted: the p-value after correction.
        different: whether it is below alpha.
        least: the least difference that would have been seen with probability 0.8.
    """
    a, b = (_subject(model, found) for model in (found.a, found.b))
    size = _amount(abs(found.difference), metric)
    if different:
        better = (found.difference > 0) == metric.higher_is_better
        low, high = found.interval.low * metric.scale, found.interval.high * metric.scale
        size_d = found.effect_size
        effect = "" if size_d is None else f", effect size {size_d:+.2f}"
        return (
            f"{a} is {'better' if better else 'worse'} than {b} by {size} "
            f"(difference {found.difference * metric.scale:+.2f} [{low:+.2f}, {high:+.2f}], "
            f"p {_p(adjusted)} after Holm's correction{effect})"
        )
    if found.differing == 0:
        return f"{a} and {b} scored the same on every sample"
    words = f"no evidence that {a} differs from {b} here"
    if least is None:
        return f"{words}; without any spread, nothing is known of what would have been seen"
    return f"{words}; {_would_be_seen(least, metric)}"


def _would_be_seen(least: float, metric: Quantity) -> str:
    """How large a difference would have been seen, if one as large there can be at all."""
    low, high = metric.bounds
    what = "a difference of " + _amount(least, metric)
    if least > high - low:
        what = "not even the largest difference that there can be"
    return f"{what} would have been seen with probability 0.8"


def among_all(
    models: Sequence[str],
    different: Collection[tuple[str, str]],
    least: float | None = None,
    metric: Quantity | None = None,
) -> str:
    """A sentence on all pairs of models.

    Args:
        models: best first.
        different: pairs that differ.
        least: the least difference that would have been seen between any two, and
        metric: what it is measured by.
    """
    if len(models) == 1:
        return f"{models[0]} has no other model to be compared with"
    if not different:
        words = f"no evidence that any of these {len(models)} models differs from another"
        if least is None or metric is None:
            return words
        return f"{words}; {_would_be_seen(least, metric)}"
    best, *others = models
    apart = {names[1] if names[0] == best else names[0] for names in different if best in names}
    level = [model for model in others if model not in apart]
    if not level:
        return f"{best} is better than every other"
    worse = f"; it is better than {_listed([m for m in others if m in apart])}" if apart else ""
    return f"{best} has the best value, but cannot be told from {_listed(level)}{worse}"


def against_baseline(
    baseline: str, models: Sequence[str], better: Collection[str], worse: Collection[str]
) -> str:
    """A sentence on all models against one."""
    same = [m for m in models if m != baseline and m not in better and m not in worse]
    parts = [f"better than {baseline}: {_listed(list(better))}"] if better else []
    parts += [f"worse than {baseline}: {_listed(list(worse))}"] if worse else []
    parts += [f"no evidence of a difference from {baseline}: {_listed(same)}"] if same else []
    return "; ".join(parts)


def over_references(floor: str, models: Sequence[str], above: Collection[str]) -> str:
    """A sentence on whether models fuse anything.

    Args:
        floor: the best of the references, which fuse nothing.
        models: that should.
        above: those of them that were found to be better than it.
    """
    if not above:
        what = "this fusion has" if len(models) == 1 else "these fusions have"
        any_of = "any of " if len(models) > 1 else ""
        return (
            f"no evidence that {any_of}{_listed(models)} is better than {floor}, the best model "
            f"that fuses nothing: as far as this can tell, {what} fused nothing here"
        )
    level = [model for model in models if model not in above]
    words = f"better than {floor}, the best model that fuses nothing: {_listed(list(above))}"
    return (
        f"{words}; not beyond the interval, so that it has fused nothing here: {_listed(level)}"
        if (level)
        else words
    )


def of_family(columns: int, tests: int, different: int) -> str:
    """A sentence on all datasets and metrics together.

    Args:
        columns: how many there are.
        tests: differences that were tested.
        different: those that hold.

    >>> of_family(1, 21, 6)
    "6 of 21 differences over 1 table hold after Holm's correction"
    """
    tables = "1 table" if columns == 1 else f"{columns} tables"
    if not different:
        return f"none of {tests} differences over {tables} holds after Holm's correction"
    return f"{different} of {tests} differences over {tables} hold after Holm's correction"


def of_two(a: str, b: str, a_better: Sequence[str], b_better: Sequence[str], columns: int) -> str:
    """A sentence on two models over several tables.

    Args:
        a, b: the models.
        a_better, b_better: names of the tables where the one, or the other, is better.
        columns: how many tables both are in.
    """
    if not a_better and not b_better:
        return f"no evidence that {a} and {b} differ on any of {columns} tables"
    if b_better and not a_better:
        a, b, a_better, b_better = b, a, b_better, a_better
    words = f"{a} is better than {b} on {len(a_better)} of {columns} tables ({_listed(a_better)})"
    return f"{words} and worse on {len(b_better)} ({_listed(b_better)})" if b_better else words


def _subject(model: str, found: Difference) -> str:
    return f"this run of {model}" if model in found.single_runs else model


def _amount(value: float, metric: Quantity) -> str:
    """A value on the metric's scale: hundredths are called points."""
    shown = value * metric.scale
    digits = f"{shown:.2f}" if shown >= 0.095 else f"{shown:.2g}"
    return f"{digits} points" if metric.scale == 100 else f"{digits} in {metric.name}"


def _p(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else f"{value:.4f}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
