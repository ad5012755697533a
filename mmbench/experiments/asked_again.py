"""A model that is asked the same samples again and again, under one condition after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmbench import registry
from mmbench.corruptions.base import Corruption
from mmbench.corruptions.conditions import (
    CLEAN,
    SHUFFLED,
    Condition,
    damaged,
    partners,
    with_inputs_of,
)
from mmbench.data.sample import Query, SampleSet
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.recording import DEFAULT_BATCH
from mmbench.experiments.score import LARGEST_KEPT, per_sample
from mmbench.metrics.base import FloatArray, Metric, TotalsMetric
from mmbench.model import TaskModel
from mmbench.statistics.bootstrap import group_codes
from mmbench.statistics.measured import measure
from mmbench.task import Task


class Asked:
    """A model that is asked the same samples again and again; each answer is made once.

    A sample whose inputs a condition leaves alone keeps its answer, and what a modality's absence
    makes of a sample is the same at every rate: so all rates of `missing` cost one pass.

    Args:
        task: whose samples these are.
        model: with its weights, on the device.
        device: where it runs.
        samples: that are asked.
        metric: that is measured.
        modalities: that the model reads.
        draws: the seed of the damage.
        batch: groups a batch; it decides the speed.
    """

    def __init__(
        self,
        task: Task,
        model: TaskModel,
        device: torch.device,
        samples: SampleSet,
        metric: Metric,
        modalities: Sequence[str],
        draws: int = 0,
        batch: int | None = None,
    ) -> None:
        self._task = task
        self._model = model
        self._samples = samples
        self._metric = metric
        self._modalities = modalities
        self._draws = draws
        self._queries = samples.queries
        self._predictor = ModelPredictor(model, device, batch or DEFAULT_BATCH)
        self._partners = partners(samples, self._draws)
        self._clean: list[Any] | None = None
        self._without: dict[str, dict[int, Any]] = {}

    def impossible(self, condition: Condition) -> str | None:
        """Why a condition cannot be asked for, in words; None if it can."""
        if condition.corruption == SHUFFLED and self._partners is None:
            return f"{SHUFFLED}: one group holds more than half of the samples"
        if condition.corruption in (CLEAN, SHUFFLED):
            return None
        corruption = registry.load("corruptions", condition.corruption)
        takes_away = corruption.missing is not Corruption.missing
        if takes_away and type(self._model).without is TaskModel.without:
            return f"{condition.corruption}: the model cannot be asked `without` an input"
        return None

    def under(self, condition: Condition) -> tuple[FloatArray | None, FloatArray | None, float]:
        """The statistics (N, k) under a condition, or replicates where those are kept; a value."""
        metric = self._metric
        queries, raw = self._raw(condition)
        answers, _ = self._task.conclude(self._samples, list(self._model.conclude(queries, raw)))
        statistics = per_sample([metric], self._samples, answers)[metric.name]
        value = metric.aggregate(statistics)
        replicates = None
        if metric.replicates and not isinstance(metric, TotalsMetric):  # costly to make again
            codes, _ = group_codes([sample.group for sample in self._samples])
            if len(codes) != len(statistics):  # of a set of images, a row each
                codes = np.arange(len(statistics))
            replicates = measure(metric.name, metric, {0: statistics}, codes).replicates[0]
        small = statistics.nbytes <= LARGEST_KEPT
        return statistics if small else None, replicates, value

    def _raw(self, condition: Condition) -> tuple[list[Query], list[Any]]:
        """The queries under a condition, and what the model answers to each by itself."""
        if self._clean is None:
            self._model.eval()
            self._model.prepare(self._queries)
            self._model.keep(self._queries, self._modalities)
            self._clean = list(self._predictor.before_conclusion(self._queries))
        if condition.corruption == CLEAN:
            return self._queries, self._clean
        if condition.corruption == SHUFFLED:
            assert self._partners is not None
            queries = with_inputs_of(self._samples, condition.modality, self._partners)
            return queries, list(self._predictor.before_conclusion(queries))
        queries, missing = damaged(self._queries, condition, self._draws)
        raw = list(self._clean)
        if missing.any():
            without = self._answers_without(condition.modality)
            for place in missing.nonzero()[0].tolist():
                raw[place] = without[place]
        changed = [at for at, query in enumerate(queries) if query is not self._queries[at]]
        asked = [queries[at] for at in changed]
        found = self._predictor.before_conclusion(asked) if asked else ()
        for place, answer in zip(changed, found, strict=True):
            raw[place] = answer
        return queries, raw

    def _answers_without(self, modality: str) -> dict[int, Any]:
        """By place, what the model answers to a query that has a modality when it lacks it."""
        if modality not in self._without:
            places = [at for at, q in enumerate(self._queries) if modality in q.inputs]
            some = [self._queries[at] for at in places]
            found = self._predictor.before_conclusion(some, without=modality)
            self._without[modality] = dict(zip(places, found, strict=True))
        return self._without[modality]
