"""The family of the task's own metrics."""

from __future__ import annotations

from mmbench.families import Family

FAITHFULNESS = (
    Family(
        "faithfulness_{kind}",
        "mmbench_tasks.generation.faithfulness:Faithfulness",
        {"kind": ("shape", "colour", "size", "place", "relation", "count")},
    ),
)
