"""Paired tests between two systems as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.experiments.score_files import TestedMetric


def paired_text(a: str, b: str, tested: Sequence[TestedMetric]) -> str:
    """A line a metric: both values, the difference with its interval, p before and after Holm."""
    rows = [["metric", "A", "B", "A - B", "95% interval", "p", "p (Holm)"]]
    for entry in tested:
        scale, test = entry.metric.scale, entry.test
        rows.append(
            [
                one_line(entry.metric.name),
                f"{test.a * scale:.2f}",
                f"{test.b * scale:.2f}",
                f"{test.difference * scale:+.2f}",
                f"[{test.interval.low * scale:+.2f}, {test.interval.high * scale:+.2f}]",
                f"{test.p_value:.4f}",
                f"{entry.adjusted:.4f}",
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"A  {one_line(a)}", f"B  {one_line(b)}"]
    for row in rows:
        rest = "  ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
        lines.append(f"  {row[0].ljust(widths[0])}  {rest}")
    first = tested[0].test
    lines.append(
        f"  {first.method}, {first.replicates:,} permutations over {first.groups:,} groups; "
        f"interval: {first.interval.method}, {first.interval.replicates:,} replicates"
    )
    return "\n".join(lines)
