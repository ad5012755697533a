"""A model's cost as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.counts import count
from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.experiments.batch_search import BatchCost
    from mmbench.experiments.profiling import Profile

PART_HEAD = ["part", "trained", "frozen", "operations", "answer", "forward", "backward"]
BATCH_HEAD = ["batch", "samples", "seconds", "samples/s", "memory"]


def profile_text(profile: Profile) -> str:
    """A line a part; then one sample alone, batches, and what was measured how."""
    lines = [profile_title(profile), *_aligned([PART_HEAD, *part_rows(profile)]), ""]
    lines += _aligned([BATCH_HEAD, *batch_rows(profile)])
    lines += [f"  {name:<9}  {one_line(words)}" for name, words in profile_facts(profile)]
    return "\n".join(lines)


def profile_title(profile: Profile) -> str:
    """What was measured."""
    return one_line(
        f"{profile.model} on {profile.task}/{profile.dataset}, {profile.weights} weights"
    )


def part_rows(profile: Profile) -> list[list[str]]:
    """Cells of a row a part, and one of all."""
    return [
        [
            one_line(part.part),
            count(part.trained) if part.trained else "-",
            count(part.frozen) if part.frozen else "-",
            count(part.operations) if part.operations else "-",
            *(
                f"{1e3 * seconds:.2f} ms"
                for seconds in (part.answer_seconds, part.forward_seconds, part.backward_seconds)
            ),
        ]
        for part in (*profile.parts, profile.total)
    ]


def batch_rows(profile: Profile) -> list[list[str]]:
    """Cells of a row a batch."""
    return [
        [
            f"{found.batch:,}",
            f"{found.samples:,}",
            f"{found.seconds:.4f}",
            f"{found.samples_per_second:,.0f}",
            _memory(found),
        ]
        for found in profile.batches
    ]


def profile_facts(profile: Profile) -> list[tuple[str, str]]:
    """What else is to be known of the numbers, under a word each."""
    p50, p95 = 1e3 * profile.latency_p50, 1e3 * profile.latency_p95
    memory = "-" if profile.peak_memory_mb is None else f"{profile.peak_memory_mb:,.0f} MB"
    if profile.peak_gpu_memory_mb is not None:
        memory += f", {profile.peak_gpu_memory_mb:,.0f} MB on the GPU"
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    return [
        ("one alone", f"{p50:.2f} ms (p95 {p95:.2f}), {profile.flops_per_sample:,} operations"),
        ("largest", f"{_batch(profile.largest)}; {profile.stopped}"),
        ("quickest", _batch(profile.quickest)),
        (
            "times",
            f"of a batch of {profile.batch:,} media ({profile.samples:,} samples): answering it, "
            "frozen networks included, and a training step without the optimizer, their features "
            "at hand",
        ),
        ("memory", f"{memory} at the peak of such a step"),
        ("device", f"{profile.device} ({profile.device_name}), {threads} of the CPU"),
    ]


def _batch(found: BatchCost) -> str:
    return (
        f"{found.batch:,} media ({found.samples:,} samples) a batch: "
        f"{found.samples_per_second:,.0f} samples/s"
    )


def _memory(found: BatchCost) -> str:
    if found.peak_gpu_memory_mb is not None:
        return f"{found.peak_gpu_memory_mb:,.0f} MB (GPU)"
    return "-" if found.peak_memory_mb is None else f"{found.peak_memory_mb:,.0f} MB"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            ["", row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])],
        ).rstrip()
        for row in rows
    ]
