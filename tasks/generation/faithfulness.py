"""Faithfulness: how much of what a prompt claims the generated picture bears out.

The recogniser reads the picture back into objects, and the claims that the caption is stored with
are checked against them: nothing is parsed from text. The same on the real pictures is the
ceiling, since the recogniser errs too and objects lie near the border between two places.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.errors import MMBenchError, ToolError
from mmbench.metrics.base import FloatArray, TotalsMetric
from mmbench.metrics.images.features import images_digest
from mmbench.scenes.facts import CLEAR, KINDS, Claims, check
from mmbench_tasks.generation.recogniser import PREPROCESSING, WEIGHTS, read

Tally = npt.NDArray[np.int64]
FOUND, MADE, FOUND_REAL = 0, 1, 2  # columns of the statistics


def tally(predictions: Sequence[Any], targets: Sequence[Any]) -> Tally:
    """How many claims of each kind hold in the generated picture, are made, hold in the real one.

    Args:
        predictions: N pictures (H, W, 3) uint8.
        targets: N mappings with `image`, the real picture, and `claims`, the caption's `Claims`.
    Returns: (N, 6, 3), by kind as in `KINDS`.
    Raises: MMBenchError where the two do not fit, one is not a picture, or there are no claims.
    """
    if len(predictions) != len(targets):
        raise MMBenchError(
            f"a prediction per target is needed: {len(predictions)} predictions, "
            f"{len(targets)} targets"
        )
    claims = [_claims(target, row) for row, target in enumerate(targets)]
    counts = np.zeros((len(claims), len(KINDS), 3), np.int64)
    for column, pictures in ((FOUND, predictions), (FOUND_REAL, targets)):
        for row, objects in enumerate(read(pictures)):
            for kind, (found, made) in check(claims[row], objects).items():
                counts[row, KINDS.index(kind), [column, MADE]] = found, made
    return counts


# The last tallies: seven metrics need the same one.
_KEPT = 2
_kept: OrderedDict[str, Tally] = OrderedDict()


def shared_tally(predictions: Sequence[Any], targets: Sequence[Any]) -> Tally:
    """`tally`, but pictures and claims that were tallied just before are not read again."""
    claims = json.dumps([_claims(target, row) for row, target in enumerate(targets)])
    told_apart_by = [images_digest(predictions), images_digest(targets), claims]
    key = hashlib.sha256("\n".join(told_apart_by).encode()).hexdigest()
    if key not in _kept:
        _kept[key] = tally(predictions, targets)
        _kept[key].flags.writeable = False
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return _kept[key]


def _claims(target: Any, row: int) -> Claims:
    if not isinstance(target, Mapping) or not {"image", "claims"} <= set(target):
        raise MMBenchError(
            f"target {row} has no claims to check: faithfulness is for datasets that know what "
            "their captions claim, such as scenes. Leave it out with --metrics"
        )
    return target["claims"]


class Faithfulness(TotalsMetric):
    """Share of the prompts' claims that a recogniser finds borne out by the generated pictures.

    Args:
        kind: only the claims of this kind: shape, colour, size, place, relation or count.
    Statistics: (N, 3): claims borne out, claims made, claims that the real picture bears out.

    >>> metric = Faithfulness("colour")
    >>> metric.name, metric.aggregate(np.array([[1.0, 2, 2], [2, 3, 3]]))
    ('faithfulness_colour', 0.6)
    """

    tasks = ("generation",)
    source = "mmbench's own; claims are checked by mmbench.scenes.facts.check"

    def __init__(self, kind: str | None = None) -> None:
        self.kind = kind
        self.name = f"faithfulness_{kind}" if kind else "faithfulness"
        self.title = (kind or "faithfulness").capitalize()
        self.heading = "Faithfulness by kind of claim" if kind else ""

    def settings(self) -> dict[str, str]:
        """The recogniser, what it sees, and how claims are checked."""
        return {
            "recogniser": WEIGHTS,
            "preprocessing": PREPROCESSING,
            "match": "best",
            "relation": f"{CLEAR / 64:g}_of_side",
        }

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> FloatArray:
        """Claims borne out, made, and borne out by the real picture, (N, 3).

        Args: as for `tally`.
        Raises: MMBenchError where they do not fit; ToolError where no such claim is made.
        """
        counts = shared_tally(predictions, targets).astype(np.float64)  # (N, 6, 3)
        chosen = counts[:, KINDS.index(self.kind)] if self.kind else counts.sum(axis=1)
        if not chosen[:, MADE].any():
            raise ToolError(f"none of the {len(chosen)} captions claims a {self.kind or 'thing'}")
        return chosen

    def from_totals(self, totals: FloatArray, count: FloatArray) -> FloatArray:
        """Claims borne out over claims made; NaN where none was made."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals[..., FOUND] / totals[..., MADE]

    def ceiling(self, statistics: FloatArray) -> float | None:
        """The same of the real pictures."""
        _, made, found_real = statistics.sum(axis=0)
        return float(found_real / made) if made else None
