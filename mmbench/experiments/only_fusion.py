"""Which samples a fusion answers rightly that no model of one of its modalities does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbench.errors import MMBenchError
from mmbench.experiments.result import RunResult
from mmbench.metrics.base import FloatArray, MeanMetric, Metric
from mmbench.records.record import Record
from mmbench.records.statistics_file import Statistics
from mmbench.records.store import find_records, read_record
from mmbench.records.verification import verified
from mmbench.statistics.comparison import ModelEstimate, estimate
from mmbench.statistics.measured import measure

_RIGHT = 0.5  # of a metric between 0 and 1, from which an answer counts as right


class OnlyFusion(MeanMetric):
    """The share of samples that only the fusion answers rightly.

    >>> metric = OnlyFusion()
    >>> metric.statistics([1, 1, 0], [[0, 1], [0, 0], [0, 0]])[:, 0].tolist()
    [0.0, 1.0, 0.0]
    """

    name = "only_fusion"
    source = "the examples that need all modalities, as counted from records of unimodal models"

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """1.0 where the fusion is right and none of the others is.

        Args:
            predictions: (N,), how right the fusion is, from 0 to 1.
            targets: (N, M), how right each of the others is.
        """
        right = np.asarray(predictions, np.float64) >= _RIGHT
        others = (np.asarray(targets, np.float64) >= _RIGHT).any(axis=1)
        return (right & ~others).astype(np.float64)[:, None]


@dataclass(frozen=True)
class OnlyByFusion:
    """What only a fusion answers rightly.

    Attributes:
        share: of the samples, with its interval.
        references: the models of one modality that it was held against.
    """

    share: ModelEstimate
    references: tuple[str, ...]


def only_by_fusion(
    model: str,
    runs: Sequence[RunResult],
    metric: Metric,
    modalities: Sequence[str],
    pool: Iterable[RunResult],
) -> OnlyByFusion | str:
    """The share of samples that only a model of several modalities answers rightly.

    Args:
        model: its name.
        runs: of it, a seed each.
        metric: the primary one.
        modalities: that it reads.
        pool: runs among which a reference for each modality is looked for: one that reads that
            modality alone, by the encoder that the model has for it; of the same seed if there is
            one, else of the lowest.
    Returns: or, in words, why there is none.
    """
    if len(modalities) < 2:
        return f"{model} reads {modalities[0]} alone"
    if not isinstance(metric, MeanMetric) or metric.bounds != (0.0, 1.0):
        return f"{metric.name} does not say which answers are right"
    found = list(pool)
    by_seed: dict[int, FloatArray] = {}
    names: dict[str, None] = {}
    groups = None
    for run in runs:
        references = []
        for modality in modalities:
            reference = _reference(run, modality, found)
            if reference is None:
                return f"no record of {modality} alone, encoded as {model} does, on these samples"
            references.append(reference)
            names[reference.record.model] = None
        kept = [_of(reference, metric) for reference in (run, *references)]
        own, others = kept[0], kept[1:]
        if any(other.samples != own.samples for other in others):
            return f"the records of one modality are not of the samples of {model}"
        values = [each.by_metric[metric.name][:, 0] for each in kept]
        alone = np.stack(values[1:], axis=1).tolist()
        by_seed[run.record.seed] = OnlyFusion().statistics(values[0].tolist(), alone)
        groups = own.groups
    assert groups is not None
    share = estimate(measure(model, OnlyFusion(), by_seed, groups))
    return OnlyByFusion(share, tuple(names))


def _of(run: RunResult, metric: Metric) -> Statistics:
    kept = run.statistics()
    if metric.name not in kept.by_metric:
        raise MMBenchError(f"{run.path} keeps no statistics of {metric.name}")
    return kept


def _reference(run: RunResult, modality: str, pool: Sequence[RunResult]) -> RunResult | None:
    """The run of the model of one modality that fits best."""
    own = run.record
    fitting = [
        other
        for other in pool
        if sole_modality(other.record) == modality
        and _asked(other.record) == _asked(own)
        and _encoder(other.record, modality) == _encoder(own, modality)
    ]

    def rank(other: RunResult) -> tuple[bool, int, bool, str]:
        record = other.record
        return (
            record.seed != own.seed,
            record.seed,
            record.weights.source != own.weights.source,
            record.model,
        )

    return min(fitting, key=rank, default=None)


def _asked(record: Record) -> tuple[object, ...]:
    return (
        *(record.task, record.dataset, record.split, record.fingerprint, record.limit),
        record.primary.signature,
    )


def _encoder(record: Record, modality: str) -> Any:
    return record.recipe.get("encoders", {}).get(modality)


def sole_modality(record: Record) -> str | None:
    """The modality that a run's model reads, if it is a single one."""
    encoders = record.recipe.get("encoders", {})
    read = [name for name, part in encoders.items() if part]
    return read[0] if len(read) == 1 and not record.recipe.get("fusion") else None


def references_beside(run: RunResult) -> list[RunResult]:
    """The records of models of one modality that lie where a run's record does, for its dataset."""
    folder = run.path.resolve()
    if len(folder.parents) < 3:
        return []
    found = []
    for other in find_records([folder.parents[2]], lambda *_: None):
        try:
            record = read_record(other)
            if sole_modality(record) is not None and _asked(record) == _asked(run.record):
                found.append(RunResult(verified(other), other, reused=True))
        except MMBenchError:  # whoever reports it names it
            continue
    return found
