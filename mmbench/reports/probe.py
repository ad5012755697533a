"""A linear probe, as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.experiments.probe import ProbeResult


def probe_text(result: ProbeResult) -> str:
    """A line for each kind of features, with what the encoder's know more than those."""
    gains = {gain.over: gain for gain in result.gains}
    rows = [["features", "width", "accuracy", "95% interval", "encoder less these", "p"]]
    for found in result.probes:
        gain = gains.get(found.features)
        rows.append(
            [
                f"{found.features} ({found.about})",
                f"{found.width:,}",
                f"{100 * found.accuracy:.1f}",
                f"[{100 * found.low:.1f}, {100 * found.high:.1f}]",
                f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
                if gain
                else "",
                ("<0.0001" if gain.p_value < 1e-4 else f"{gain.p_value:.4f}") if gain else "",
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    counts = ", ".join(f"{count:,} of {split}" for split, count in result.samples.items())
    title = (
        f"linear probe of {result.target} ({len(result.classes)} classes) on {result.dataset}, "
        f"split {result.split}"
    )
    lines = [one_line(title)]
    for row in rows:
        rest = "  ".join(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
        lines.append(one_line(f"  {row[0].ljust(widths[0])}  {rest}".rstrip()))
    lines.append(f"  most frequent class: {100 * result.majority:.1f}")
    lines.append(one_line(f"  {result.modality} encoder of {result.encoder}"))
    lines.append(f"  weights {result.weights[:16]}; samples: {counts}; intervals over groups")
    if result.path is not None:
        lines.append(one_line(f"  record {result.path}"))
    return "\n".join(lines)
