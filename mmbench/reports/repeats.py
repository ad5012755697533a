"""Several draws of a model as text for the terminal."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from mmbench.experiments.failures import failure_notes
from mmbench.reports.escape import one_line
from mmbench.reports.run import run_title

if TYPE_CHECKING:
    from mmbench.experiments.repeats import Repeats


def repeats_text(found: Repeats) -> str:
    """A line a metric: mean over draws, their standard deviation, interval, each draw's value; and
    the probability that one of several draws is right, where that is defined.
    """
    records = [run.record for run in found.runs]
    scales = {entry.name: entry.scale for entry in records[0].metrics}
    rows = [["", "mean", "sd", "95% interval", "draws"]]
    for each in found.estimates:
        scale = scales[each.metric]
        ends = ""
        if each.interval is not None:
            ends = f"[{each.interval.low * scale:.2f}, {each.interval.high * scale:.2f}]"
        rows.append(
            [
                one_line(each.metric),
                f"{each.mean * scale:.2f}",
                "-" if each.sd is None else f"{each.sd * scale:.2f}",
                ends,
                " ".join(f"{value * scale:.2f}" for value in each.values),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{run_title(records[0])} to {records[-1].seed}, {len(records)} draws"]
    for first, *others, last in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:-1], strict=True)]
        lines.append("  ".join([f"  {first.ljust(widths[0])}", *cells, last]).rstrip())
    for name, by_k in found.pass_at.items():
        values = [f"{k} {value * scales[name]:.2f}" for k, value in by_k.items() if _told(k, by_k)]
        lines.append(f"  pass@k  of {one_line(name)}: {', '.join(values)}")
    notes = [found.over, *failure_notes(records)]
    lines += [f"  failed  {one_line(note)}" for note in notes if note]
    lines.append(f"  records  {found.runs[0].path.parent}")
    return "\n".join(lines)


def _told(k: int, by_k: Collection[int]) -> bool:
    """Whether a number of draws is worth a word: powers of two, and all of them."""
    return k > 1 and (k & (k - 1) == 0 or k == len(by_k))
