"""Retrieval as tables: for each query the items that were found, best first, and the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.data.cells import as_text, complain, ids, is_missing, texts
from mmbench.data.prediction_files import (
    PredictionFile,
    file_hash,
    groups,
    in_order,
    read_table,
)
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError, brief
from mmbench.metrics.ranking import ABSENT, Ranks
from mmbench.recipe import digest


def directions(references: Path) -> list[str]:
    """The directions that a table of right items asks in.

    Raises: MMBenchError if it cannot be read, or one is no text.
    """
    rows = read_table(references, ("id", "direction"))
    return sorted(set(_directions(rows, ids((row["id"] for row in rows), references), references)))


def read_lists(predictions: Path, references: Path) -> PredictionFile:
    """The ranks of the right items in lists of the items found; ids are compared as text.

    A right item that a list lacks has the rank `ABSENT`: where it stands is not known.

    Args:
        predictions: a table of `id` and `prediction`, a list of ids.
        references: a table of `id`, `target`, an id or a list of them, `direction`, and `group`.
    Raises: MMBenchError for files that are not that, or do not fit each other.
    """
    rows = read_table(references, ("id", "target", "direction"))
    if not rows:
        raise MMBenchError(f"{references} holds no references")
    names = ids((row["id"] for row in rows), references)
    asked = _directions(rows, names, references)
    targets = [
        row["target"] if isinstance(row["target"], list) else [row["target"]] for row in rows
    ]
    right = _items(targets, names, "target", references)
    complain(
        [n for n, items in zip(names, right, strict=True) if not items],
        "have no target",
        references,
    )
    given = read_table(predictions, ("id", "prediction"))
    found = _items(
        [row["prediction"] for row in given],
        known := ids((row["id"] for row in given), predictions),
        "prediction",
        predictions,
    )
    lists = in_order(names, list(zip(known, found, strict=True)), predictions, references)
    answers: Ranks = []
    for items, wanted in zip(lists, right, strict=True):
        place = {item: rank for rank, item in enumerate(items, 1)}
        answers.append(np.sort([place.get(item, ABSENT) for item in wanted]))
    group = groups(rows, names, references)
    samples = [
        Sample(name, {}, direction, of)
        for name, direction, of in zip(names, asked, group, strict=True)
    ]
    content = digest([list(row) for row in zip(names, right, asked, strict=True)])
    return PredictionFile(
        SampleSet(samples, references.stem, "given", content[:16]),
        answers,
        file_hash(predictions),
        _notes(lists, answers),
    )


def _directions(rows: Sequence[Any], names: Sequence[str], path: Path) -> list[str]:
    return texts([row["direction"] for row in rows], names, "direction", path)


def _items(lists: Sequence[Any], names: Sequence[str], what: str, path: Path) -> list[list[str]]:
    """Lists of ids as texts, each once."""
    found = []
    for name, items in zip(names, lists, strict=True):
        known = [as_text(i) for i in items if not is_missing(i)] if isinstance(items, list) else []
        whole = [item for item in known if item is not None]
        if not isinstance(items, list) or len(set(whole)) < len(items):
            raise MMBenchError(
                f"{path}: the {what} of {name} is not a list of items, each once, by their ids: "
                f"{brief(items)}"
            )
        found.append(whole)
    return found


def _notes(lists: Sequence[Sequence[str]], answers: Ranks) -> list[str]:
    absent = sum(int((ranks == ABSENT).sum()) for ranks in answers)
    if not absent:
        return []
    notes = [f"{absent:,} right items are not in the lists: never retrieved"]
    without = [
        len(items) for items, ranks in zip(lists, answers, strict=True) if ranks[0] == ABSENT
    ]
    if without:
        notes.append(
            f"{len(without):,} lists, the shortest of {min(without):,} items, hold no right item: "
            "the reciprocal rank, and recall further down than a list goes, count them as not "
            "found, which is the least that they can be"
        )
    return notes
