"""Two systems compared, as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.statistics.family import Family


def paired_text(a: str, b: str, family: Family) -> str:
    """A line a metric: both values, the difference with its interval, p before and after Holm."""
    rows = [["metric", "A", "B", "A - B", "95% interval", "p", "p (Holm)"]]
    values = {(e.metric, e.model): e.mean for e in family.estimates}
    scales = family.scales
    for pair in family.pairs:
        found = pair.difference
        scale, sign = scales[found.metric], 1 if found.a == "A" else -1
        low, high = sorted((sign * found.interval.low * scale, sign * found.interval.high * scale))
        rows.append(
            [
                one_line(found.metric),
                f"{values[found.metric, 'A'] * scale:.2f}",
                f"{values[found.metric, 'B'] * scale:.2f}",
                f"{sign * found.difference * scale:+.2f}",
                f"[{low:+.2f}, {high:+.2f}]",
                _p(found.p_value),
                _p(pair.adjusted),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"A  {one_line(a)}", f"B  {one_line(b)}"]
    for row in rows:
        rest = "  ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
        lines.append(f"  {row[0].ljust(widths[0])}  {rest}")
    first = family.pairs[0].difference.interval
    lines += [f"  {one_line(pair.verdict)}" for pair in family.pairs]
    lines += [f"  {one_line(note)}" for note in family.notes]
    lines.append(
        f"  {first.method}; {first.replicates:,} replicates over {first.groups:,} groups; "
        f"Holm over {family.tests}"
    )
    return "\n".join(lines)


def _p(value: float) -> str:
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"
