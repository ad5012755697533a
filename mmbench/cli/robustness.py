"""What `--robustness` adds to `run` and `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mmbench.cli.parser import split_names
from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from mmbench.experiments.result import RunResult
    from mmbench.request import RunRequest


def under_damage(
    request: RunRequest,
    models: Sequence[str],
    wanted: bool,
    corruptions: str | None,
    quiet: bool,
) -> Callable[[Mapping[str, Sequence[RunResult]]], str]:
    """What is to be called with the runs, by model; it gives what there is to be printed of it.

    Args:
        request: as one of the models is run.
        models: recipes.
        wanted: whether `--robustness` is given; nothing is done and printed without it.
        corruptions: names, separated by commas.
        quiet: show no progress.
    Raises: MMBenchError now for what could not be done after the runs.
    """
    if not wanted:
        if corruptions is not None:
            raise MMBenchError("--corruptions says what --robustness asks: give that too")
        return lambda _: ""
    from mmbench.experiments.under_damage import check_request

    names = None if corruptions is None else split_names(corruptions)
    check_request(request, models, names)

    def after(runs: Mapping[str, Sequence[RunResult]]) -> str:
        from mmbench.cli.progress import QuietWatch, TerminalWatch
        from mmbench.experiments.robustness import robustness_of
        from mmbench.experiments.under_damage import Settings
        from mmbench.reports.robustness import robustness_text

        settings = Settings(
            corruptions=names,
            device=request.device,
            threads=request.threads,
            batch_size=request.batch_size,
            dataset=request.dataset,
            data_dir=request.data_dir,
            checkpoint=request.checkpoint,
            watch=QuietWatch() if quiet else TerminalWatch(),
        )
        return robustness_text(robustness_of(runs, settings)) + "\n"

    return after
