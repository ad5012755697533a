"""A model asked several times at a temperature: the mean over draws, their spread, and the best."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.measured_runs import answered_words, measured_runs, on_same_samples
from mmbench.experiments.plan import make_plan
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import carry_out
from mmbench.experiments.score import load_metrics
from mmbench.experiments.watch import SILENT, Watch
from mmbench.metrics.base import MeanMetric
from mmbench.processes import refuse_several
from mmbench.recipe import Recipe
from mmbench.request import LARGEST_SEED, RunRequest
from mmbench.statistics.comparison import ModelEstimate, estimate


@dataclass(frozen=True)
class Repeats:
    """Draws of one model on the same samples.

    Attributes:
        runs: a result for each.
        estimates: by metric, the mean over draws with its standard deviation and interval.
        at_least_one: of metrics that say whether an answer is right, the share of samples that
            some draw answers rightly (pass@k of k draws).
        over: which samples that is over, in words, where queries failed; "" for all.
    """

    runs: Sequence[RunResult]
    estimates: Sequence[ModelEstimate]
    at_least_one: dict[str, float]
    over: str = ""


def repeat(request: RunRequest, repeats: int, watch: Watch = SILENT) -> Repeats:
    """Carry a request out several times, each with a seed of its own from the request's on.

    Args:
        repeats: two or more.
    Raises: MMBenchError for a model whose draws do not differ; as `carry_out`.
    """
    refuse_several("--repeats", "start one process, which asks a server many things at once")
    if repeats < 2:
        raise MMBenchError(f"--repeats must be 2 or more, got {repeats}")
    if request.seed + repeats - 1 > LARGEST_SEED:
        raise MMBenchError(f"--repeats {repeats} from --seed {request.seed} on are too many")
    plan = make_plan(request)
    _check_draws(plan.recipe, request.model, plan.task.answer_kind)
    runs = [
        carry_out(request.model_copy(update={"seed": request.seed + number}), watch)
        for number in range(repeats)
    ]
    return of_draws(runs)


def of_draws(runs: Sequence[RunResult]) -> Repeats:
    """What runs of one model with different seeds say together."""
    by_seed = {run.record.seed: run for run in runs}
    first = runs[0].record
    model = first.model
    names = [e.name for e in first.metrics if e.category is None and e.interval is not None]
    read = {seed: run.statistics() for seed, run in by_seed.items()}
    kept = on_same_samples({model: read})[model]
    found, best = [], {}
    for metric in load_metrics(names):
        found.append(estimate(measured_runs(model, metric, by_seed, kept=kept)))
        values = [each.by_metric.get(metric.name) for each in kept.values()]
        if (
            isinstance(metric, MeanMetric)
            and metric.bounds == (0.0, 1.0)
            and metric.higher_is_better
        ):
            right = np.stack([v for v in values if v is not None])
            best[metric.name] = metric.aggregate(right.max(axis=0))
    return Repeats(runs, found, best, answered_words(next(iter(kept.values())).answered))


def _check_draws(recipe: Recipe, model: str, answer_kind: str) -> None:
    part = recipe.predictor
    kind = registry.load("predictors", part.name) if part else None
    takes = inspect.signature(kind).parameters if kind else {}
    if "draw" not in takes or answer_kind not in getattr(kind, "draws", (answer_kind,)):
        raise MMBenchError(
            f"--repeats draws answers anew, and {model} is none that draws its {answer_kind}: "
            "compare seeds of a training with `mmbench compare`"
        )
    assert part is not None
    if "temperature" in takes and not part.options.get("temperature", takes["temperature"].default):
        raise MMBenchError(
            "--repeats draws the same answers at a temperature of 0: --set temperature=0.7"
        )
