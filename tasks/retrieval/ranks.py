"""Ranks of the right items, from what a predictor answered to the queries of both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.metrics.positives import Positives
from mmbench.metrics.ranking import Embeddings, Ranks, ScoreMatrix, rank_both, rank_positives
from mmbench_tasks.retrieval.answers import Embedded, Scored


def ranks_of(
    samples: Sequence[Sample], answers: Sequence[Any]
) -> tuple[list[npt.NDArray[np.int64]], list[str]]:
    """The ascending ranks of each sample's right items, and notes for the record.

    An array (D,) is an embedding.
    Raises: MMBenchError if there are not queries of both sides, or the answers are not all
        `Embedded` or all `Scored`, or do not fit the gallery.
    """
    answers = [Embedded(a) if isinstance(a, np.ndarray) and a.ndim == 1 else a for a in answers]
    texts = [place for place, sample in enumerate(samples) if "text" in sample.inputs]
    media = [place for place, sample in enumerate(samples) if "text" not in sample.inputs]
    if not texts or not media:
        raise MMBenchError("retrieval needs queries of both sides: texts and what they describe")
    medium = next(iter(samples[media[0]].inputs))
    sides = (media, texts)
    right = [
        _right([samples[i] for i in asking], [samples[i] for i in gallery])
        for asking, gallery in (sides, sides[::-1])
    ]
    given = [[answers[place] for place in side] for side in sides]
    notes: list[str] = []
    if all(isinstance(answer, Scored) for answer in answers):
        ranks = [
            rank_positives(_score_matrix(side, len(other)), of_side)
            for side, other, of_side in zip(given, given[::-1], right, strict=True)
        ]
    elif all(isinstance(answer, Embedded) for answer in answers):
        of_media, of_texts = (np.stack([a.embedding for a in side]) for side in given)
        embeddings = Embeddings(of_media, of_texts)
        ranks = list(rank_both(embeddings, *right))
        kept = {len(a.candidates) for a in answers if a.candidates is not None}
        if kept:
            notes.append(_before(ranks, medium, max(kept)))
            ranks = [_again(*side) for side in zip(given, right, ranks, strict=True)]
    else:
        raise MMBenchError(
            "retrieval ranks answers that are all embeddings (D,), or all `Scored` (see "
            f"mmbench_tasks.retrieval.answers); the first is {type(answers[0]).__name__}"
        )
    result: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(samples)
    for side, of_side in zip(sides, ranks, strict=True):
        for place, found in zip(side, of_side, strict=True):
            result[place] = found
    return result, notes


def _before(ranks: Sequence[Ranks], medium: str, kept: int) -> str:
    """What was found before the candidates were scored anew."""
    of_medium, of_text = (100 * np.mean([found[0] == 1 for found in side]) for side in ranks)
    return (
        f"recall at 1 of the dual encoder alone, before {kept} are ranked anew: "
        f"{of_text:.2f} text to {medium}, {of_medium:.2f} {medium} to text"
    )


def _again(answers: Sequence[Embedded], right: Positives, ranks: Ranks) -> Ranks:
    """The ranks of one side's right items, where each query's candidates are scored anew."""
    placed = list(ranks)
    alike: dict[int, list[int]] = {}  # by how many candidates they have
    for query, answer in enumerate(answers):
        if answer.candidates is not None and answer.scores is not None:
            alike.setdefault(len(answer.candidates), []).append(query)
    for queries in alike.values():
        given = [answers[query] for query in queries]
        candidates = np.stack([answer.candidates for answer in given])
        scores = np.stack([answer.scores for answer in given])
        wanted = [right.items[right.offsets[q] : right.offsets[q + 1]] for q in queries]
        found = place_again(candidates, scores, wanted, [ranks[query] for query in queries])
        for query, of_query in zip(queries, found, strict=True):
            placed[query] = of_query
    return placed


def _score_matrix(answers: Sequence[Scored], gallery: int) -> ScoreMatrix:
    for answer in answers:
        if answer.scores.shape != (gallery,):
            raise MMBenchError(
                f"an answer scores {answer.scores.shape} items where the gallery has {gallery:,}"
            )
    return ScoreMatrix(np.stack([answer.scores for answer in answers]))


def _right(asking: Sequence[Sample], gallery: Sequence[Sample]) -> Positives:
    """The right items of queries: those of the gallery in the same group."""
    members: dict[str, list[int]] = {}
    for place, sample in enumerate(gallery):
        members.setdefault(sample.group, []).append(place)
    return Positives.of([members.get(sample.group, []) for sample in asking], len(gallery))


def place_again(
    candidates: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    wanted: Sequence[npt.NDArray[np.int64]],
    ranks: Sequence[npt.NDArray[np.int64]],
) -> Ranks:
    """The ascending ranks of each query's right items, after its candidates are ordered anew.

    Right items among the candidates take their place there, equal scores counted against the
    model; the others keep their place behind all candidates. A right item that is a candidate only
    because others have the same score as it counts as one of the others.

    Args:
        candidates, scores: (Q, k), the items ordered anew, and how well they match.
        wanted: (P,) of each query, the right items.
        ranks: (P,) of each query, their ranks before, ascending.
    """
    count = candidates.shape[1]
    of_query = np.repeat(np.arange(len(wanted)), [len(items) for items in wanted])
    width = 1 + max(candidates.max(), max(items.max() for items in wanted))
    keys = of_query * width + np.concatenate(wanted)
    is_right = np.isin(np.arange(len(wanted))[:, None] * width + candidates, keys)
    # A stable order by falling score, in which the wrong ones of a score come first.
    order = np.lexsort((is_right, -scores))
    right_there = np.take_along_axis(is_right, order, axis=1)
    inside = np.split(np.nonzero(right_there)[1] + 1, np.cumsum(right_there.sum(1))[:-1])
    placed = []
    for here, before in zip(inside, ranks, strict=True):
        by_luck = max(0, len(here) - int((before <= count).sum()))
        here = here[by_luck:]
        outside = np.maximum(before[len(here) :], count + 1)
        placed.append(np.concatenate([here, outside]).astype(np.int64))
    return placed
