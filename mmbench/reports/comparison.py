"""A comparison as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.counts import count
from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.experiments.compare import Comparison
    from mmbench.statistics.comparison import ModelEstimate

_MARK = "*"


def comparison_text(comparison: Comparison) -> str:
    """A line a model, best first; then what was found, what was equal, and how it was computed."""
    title, head, rows = comparison_rows(comparison)
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [title]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True) if w]
        text.append(f"  {'  '.join(cells)}".rstrip())
    text += [f"  {name:<10}  {one_line(words)}" for name, words in comparison_facts(comparison)]
    return "\n".join(text)


def comparison_rows(comparison: Comparison) -> tuple[str, list[str], list[list[str]]]:
    """What was compared on what, in a line; what stands above cells; cells of a row a model."""
    family = comparison.family
    record = next(iter(comparison.runs.values()))[0].record
    other = one_line(family.baseline or "the best")
    head = [
        "model",
        one_line(comparison.metric.name),
        "sd",
        "95% interval",
        "",
        f"difference to {other}",
        "p (Holm)",
        "parameters",
        "MFLOPs",
        "training",
    ]
    seeds = _seeds(comparison)
    counted = "-".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
    title = (
        f"{one_line(f'{record.task}/{record.dataset}, {record.split}')} split, "
        f"{record.samples:,} samples, "
        f"{counted} {'seed' if seeds[-1] == 1 else 'seeds'}"
    )
    return title, head, [_cells(comparison, found) for found in comparison.estimates]


def _seeds(comparison: Comparison) -> list[int]:
    """How many the models have, the fewest first."""
    return sorted({len(found.seeds) for found in comparison.estimates})


def comparison_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """What was found, what was equal, and how it was computed, under a word each."""
    metric, family = comparison.metric, comparison.family
    facts = [("found", comparison.verdict)]
    if comparison.of_references:
        facts.append(("fusion", comparison.of_references))
    facts += [
        ("", pair.verdict)
        for found in comparison.estimates
        if (pair := comparison.against(found.model)) is not None and not pair.different
    ]
    if any(family.letters.values()):
        facts.append(("letters", "models that share a letter cannot be told apart"))
    facts += [(_MARK, f"{model}: {words}") for model, words in comparison.conditions.marks.items()]
    facts += [
        ("failed", f"{model} seed {seed}: {why}")
        for (model, seed), why in comparison.failed.items()
    ]
    facts += comparison.facts
    facts.append(("conditions", comparison.conditions.text()))
    facts += [("note", note) for note in comparison.notes]
    facts.append(("signature", metric.signature))
    if _seeds(comparison)[0] == 1:
        facts.append(
            ("seeds", "of a single run: what is said is of this training, not of the next")
        )
    interval = comparison.estimates[0].interval
    if interval is not None:
        facts.append(
            (
                "intervals",
                f"{interval.level:.0%}, {interval.method}; {interval.replicates:,} replicates "
                f"over {interval.groups:,} groups; differences paired, Holm over {family.tests}",
            )
        )
    return facts


def _cells(comparison: Comparison, found: ModelEstimate) -> list[str]:
    scale = comparison.metric.scale
    runs = comparison.runs[found.model]
    record = runs[0].record
    difference, p_value = "baseline" if comparison.family.baseline else "best", ""
    if (pair := comparison.against(found.model)) is not None:
        sign = 1 if pair.difference.a == found.model else -1
        ends = sign * pair.difference.interval.low, sign * pair.difference.interval.high
        low, high = (end * scale for end in sorted(ends))
        shown = round(sign * pair.difference.difference * scale, 2) + 0.0  # no -0.00
        difference = f"{shown:+.2f} [{low:+.2f}, {high:+.2f}]"
        p_value = "<0.0001" if pair.adjusted < 1e-4 else f"{pair.adjusted:.4f}"
    times = [run.record.training.seconds for run in runs if run.record.training]
    interval = "-"
    if found.interval is not None:
        interval = f"[{found.interval.low * scale:.2f}, {found.interval.high * scale:.2f}]"
    return [
        one_line(found.model) + (_MARK if found.model in comparison.conditions.marks else ""),
        f"{found.mean * scale:.2f}",
        "-" if found.sd is None else f"{found.sd * scale:.2f}",
        interval,
        comparison.letters(found.model),
        difference,
        p_value,
        count(sum(record.parameters.values())) if record.parameters else "-",
        "-" if record.flops_per_sample is None else f"{record.flops_per_sample / 1e6:.1f}",
        f"{sum(times) / len(times):.0f} s" if times else "-",
    ]
