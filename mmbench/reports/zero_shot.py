"""Zero-shot classification, as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.reports.escape import one_line

if TYPE_CHECKING:
    from mmbench.experiments.zero_shot import ZeroShotResult


def zero_shot_text(result: ZeroShotResult) -> str:
    """Accuracy with its interval, what it was asked by, and the classes told worst."""
    lines = [
        f"zero-shot {result.target} ({len(result.classes)} classes) on {result.dataset}, split "
        f"{result.split}",
        f"  accuracy             {100 * result.accuracy:.1f} "
        f"[{100 * result.low:.1f}, {100 * result.high:.1f}]   n = {result.samples:,}",
        f"  most frequent class  {100 * result.majority:.1f}",
        "  by class             "
        + ", ".join(f"{name} {100 * value:.0f}" for name, value in result.by_class.items()),
    ]
    lines += [f"  prompt               {prompt}" for prompt in result.prompts]
    if result.texts > len(result.prompts):
        lines.append(f"  texts of each class   {result.texts:,}, their mean")
    if result.unknown:
        lines.append(f"  words that the model does not know: {', '.join(result.unknown)}")
    lines.append(f"  {result.modality} and text encoders of {result.encoder}")
    lines.append(f"  weights {result.weights[:16]}; interval over groups")
    if result.path is not None:
        lines.append(f"  record {result.path}")
    return "\n".join(map(one_line, lines))
