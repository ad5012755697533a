"""What comes of a request that is carried out: a result, or why there is none."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from mmbench.experiments.plan import recipe_name
from mmbench.experiments.result import RunResult
from mmbench.records.names import safe_name
from mmbench.records.writing import writing_to
from mmbench.request import RunRequest

CRASHES = ".crashes"  # the folder below `out` that tracebacks are kept in


@dataclass(frozen=True)
class Failed:
    """A request without a result.

    Attributes:
        reason: in a line.
        broke: whether it crashed or was killed; otherwise it was refused, as a mistake is.
    """

    reason: str
    broke: bool = False


Outcome = RunResult | Failed
Outcomes = Generator[tuple[RunRequest, Outcome], None, None]


def keep_traceback(request: RunRequest, traceback: str) -> Path:
    """Keep a traceback below the records; the file."""
    name = safe_name(recipe_name(request.model).replace("/", "-"))
    file = request.out / CRASHES / f"{name}-seed-{request.seed}.txt"
    with writing_to(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback, encoding="utf-8")
    return file
