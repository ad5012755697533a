"""What samples hold, whatever their task: their media, their texts, and pairs of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmbench.data.media import media_of
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError


def contents_of(sample: Sample, modality: str) -> list[Any]:
    """What a sample has of a modality, in its inputs or its target: media, or texts.

    Texts are the captions that its target holds, or else the text that it asks by.
    """
    target = sample.target
    if modality == "text":
        if isinstance(target, Mapping) and target.get("captions"):
            return list(target["captions"])
        if "text" in sample.inputs:
            return [str(sample.inputs["text"])]
        captions = isinstance(target, list) and all(isinstance(text, str) for text in target)
        return list(target) if captions else []
    beside = target.get(modality) if isinstance(target, Mapping) else None
    return [*media_of(sample.inputs.get(modality)), *media_of(beside)]


def by_group(samples: Sequence[Sample], modality: str) -> dict[str, list[Any]]:
    """By group, in order, the distinct contents of a modality; groups without any are left out."""
    found: dict[str, dict[Any, None]] = {}
    for sample in samples:
        for value in contents_of(sample, modality):
            found.setdefault(sample.group, {})[value] = None
    return {group: list(values) for group, values in found.items()}


def all_of(samples: Sequence[Sample], modality: str) -> list[Any]:
    """The distinct contents of a modality, in order.

    Raises: MMBenchError if there is none.
    """
    found = list(
        dict.fromkeys(value for sample in samples for value in contents_of(sample, modality))
    )
    if not found:
        raise lacks(modality)
    return found


def pairs_of(
    samples: Sequence[Sample], first: str, second: str, rng: np.random.Generator
) -> tuple[list[Any], list[Any]]:
    """A pair of each group that has both modalities, each drawn from what the group has of it.

    Raises: MMBenchError if no group has both.
    """
    ones, others = by_group(samples, first), by_group(samples, second)
    groups = [group for group in ones if group in others]
    if not groups:
        missing = [name for name, has in ((first, ones), (second, others)) if not has]
        if missing:
            raise lacks(missing[0])
        raise MMBenchError(f"this stage trains on {first} with {second}, and no group has both")
    drawn = [
        (ones[g][rng.integers(len(ones[g]))], others[g][rng.integers(len(others[g]))])
        for g in groups
    ]
    return [one for one, _ in drawn], [other for _, other in drawn]


def lacks(modality: str) -> MMBenchError:
    """That the data have nothing of a modality that an objective reads."""
    kind = "texts" if modality == "text" else "sounds" if modality == "audio" else f"{modality}s"
    return MMBenchError(
        f"this stage trains on {kind}, and the data have none: name others by `data: {{dataset: "
        "...}` of the stage, or another objective"
    )
