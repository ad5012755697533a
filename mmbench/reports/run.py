"""A run's record as text: what `mmbench run` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.experiments.failures import bounds_words, failed_words
from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.records.record import Record, RequestsEntry

_INDENT = "  "


def record_text(record: Record, path: Path) -> str:
    """A line a value, whatever names are in it, and what else is known of the run."""
    lines = [run_title(record)]
    rows = run_rows(record)
    # A category is indented, and may be as long as the longest name without a line being longer.
    width = max((len(label.removeprefix(_INDENT)) for label, *_ in rows), default=0) + 2
    lines += [
        f"  {label:<{width}} {value:>7}{f'  {interval}' if interval else '':<18}  "
        f"n = {samples}{f'  {more}' if more else ''}"
        for label, value, interval, samples, more in rows
    ]
    facts = run_facts(record, path)
    lines += [f"  {one_line(key):<{width}}  {one_line(value)}" for key, value in facts.items()]
    return "\n".join(lines)


def run_title(record: Record) -> str:
    """What was run on what, in a line."""
    title = one_line(f"{record.model} on {record.task}/{record.dataset}, {record.split} split")
    limit = f" (the first {record.limit})" if record.limit else ""
    return (
        f"{title}: {record.samples:,} samples{limit}, {record.groups:,} groups, seed {record.seed}"
    )


def run_rows(record: Record) -> list[list[str]]:
    """Of each value: its metric or (indented) category, itself, interval, samples, and more."""
    rows = []
    for entry in record.metrics:
        ends = ""
        if entry.interval:
            low, high = entry.interval.low * entry.scale, entry.interval.high * entry.scale
            ends = f"[{low:.2f}, {high:.2f}]"
        more = []
        if entry.ceiling is not None:
            more.append(f"ceiling {entry.ceiling * entry.scale:.2f}")
        if entry.standard_error is not None and record.weights.source == "elsewhere":
            more.append(f"se {entry.standard_error * entry.scale:.2f}")
        label = one_line(entry.category or entry.name)
        rows.append(
            [
                f"{_INDENT}{label}" if entry.category else label,
                f"{entry.value * entry.scale:.2f}",
                ends,
                f"{entry.samples:,}",
                "  ".join(more),
            ]
        )
    return rows


def run_facts(record: Record, path: Path) -> dict[str, str]:
    """What else is known of a run, under a word each."""
    first = record.metrics[0] if record.metrics else None
    facts = {"signature": first.signature} if first else {}
    if record.unanswered:
        words = [f"at {failed_words(record)}, which are not scored", bounds_words(record)]
        facts["failed"] = "; ".join(filter(None, words))
    if first and first.interval:
        facts["interval"] = (
            f"{first.interval.level:.0%} {first.interval.method}, {first.interval.replicates:,} "
            f"replicates over {first.interval.groups:,} groups"
        )
    facts["weights"] = record.weights.source + (
        f" ({record.weights.file})" if record.weights.file else ""
    )
    if record.training:
        facts["training"] = (
            f"{record.training.seconds:.0f} s, {record.training.samples_per_second:,.0f} "
            f"samples/s, weights of epoch {record.training.best_epoch}"
        )
    if record.requests:
        facts["requests"] = ", ".join(_requests(record.requests))
    if cost := _cost(record):
        facts["cost"] = ", ".join(cost)
    if record.notes:
        facts["note"] = "; ".join(record.notes)
    for name, reason in record.failed.items():
        facts[name] = f"not computed: {reason}"
    return facts | {"record": str(path)}


def _requests(entry: RequestsEntry) -> list[str]:
    found = [f"{entry.requests:,}"]
    if entry.kept:
        found.append(f"{entry.kept:,} answers kept from before")
    if entry.tokens_in is not None:
        found.append(f"{entry.tokens_in:,} tokens in")
    if entry.tokens_out is not None:
        found.append(f"{entry.tokens_out:,} out")
    if entry.latency_p50 is not None and entry.latency_p95 is not None:
        found.append(f"an answer in {entry.latency_p50:.2f} s (p95 {entry.latency_p95:.2f})")
    if entry.price is not None:
        found.append(f"price {entry.price:,.4g}")
    return found


def _cost(record: Record) -> list[str]:
    inference = record.inference
    if inference is None:
        return []
    found = []
    if record.parameters:
        speed = inference.samples_per_second
        found.append(parameters_words(record.parameters))
        if record.joint:
            tasks = ", ".join(record.joint.tasks)
            found.append(f"{record.joint.parameters:,} for {tasks} together")
        if record.flops_per_sample is not None:
            found.append(f"{record.flops_per_sample / 1e6:.1f} MFLOPs a sample")
        found.append(f"{speed:,.0f} samples/s on {record.environment.device}")
    if inference.latency_p50 is not None and inference.latency_p95 is not None:
        p50, p95 = inference.latency_p50 * 1e3, inference.latency_p95 * 1e3
        found.append(f"one alone in {p50:.1f} ms (p95 {p95:.1f})")
    if record.peak_memory_mb:
        found.append(f"{record.peak_memory_mb:,.0f} MB at peak")
    if record.peak_gpu_memory_mb:
        found.append(f"{record.peak_gpu_memory_mb:,.0f} MB of the GPU")
    return found


def parameters_words(counts: Mapping[str, int]) -> str:
    """Their total, and how many of them are frozen."""
    from mmbench.zoo.part import FROZEN

    frozen = sum(count for part, count in counts.items() if part.endswith(FROZEN))
    total = f"{sum(counts.values()):,} parameters"
    return f"{total} ({frozen:,} frozen)" if frozen else total
