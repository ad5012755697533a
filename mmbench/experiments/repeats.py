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
from mmbench.metrics.base import FloatArray, MeanMetric
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
        pass_at: of metrics that say whether an answer is right, by k up to the number of draws,
            the probability that at least one of k draws is right, mean over samples (`pass_at`).
        over: which samples that is over, in words, where queries failed; "" for all.
    """

    runs: Sequence[RunResult]
    estimates: Sequence[ModelEstimate]
    pass_at: dict[str, dict[int, float]]
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
    found: list[ModelEstimate] = []
    best: dict[str, dict[int, float]] = {}
    for metric in load_metrics(names):
        found.append(estimate(measured_runs(model, metric, by_seed, kept=kept)))
        values = [each.by_metric.get(metric.name) for each in kept.values()]
        if (
            isinstance(metric, MeanMetric)
            and metric.bounds == (0.0, 1.0)
            and metric.higher_is_better
        ):
            draws = np.stack([v for v in values if v is not None])  # (n, N, 1)
            if np.isin(draws, (0.0, 1.0)).all():
                right = draws[..., 0].sum(0)
                each = {k: pass_at(k, len(draws), right) for k in range(1, len(draws) + 1)}
                best[metric.name] = {k: float(found.mean()) for k, found in each.items()}
    return Repeats(runs, found, best, answered_words(next(iter(kept.values())).answered))


def pass_at(k: int, draws: int, right: FloatArray) -> FloatArray:
    """The probability that at least one of k draws is right, unbiased: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al., Evaluating Large Language Models Trained on Code, 2021 (arXiv 2107.03374),
    eq. 1; as the product of its appendix A.

    Args:
        k: at most the number of draws.
        draws: n, of each sample.
        right: (N,), c, how many of them are right.

    >>> pass_at(2, 4, np.array([0.0, 1.0, 2.0, 4.0])).round(4)
    array([0.    , 0.5   , 0.8333, 1.    ])
    """
    i = np.arange(draws - k + 1, draws + 1)[:, None] - right  # n - c - k + 1, ..., n - c
    chosen = np.arange(draws - k + 1, draws + 1)[:, None]
    found: FloatArray = 1 - np.prod(i.clip(min=0) / chosen, axis=0)
    return found


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
