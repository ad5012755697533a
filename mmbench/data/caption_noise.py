"""Captions that are wrong on purpose: some are exchanged for another sample's, as on the web."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmbench.data.sample import SampleSet, stable_number
from mmbench.errors import MMBenchError


def with_noise(samples: SampleSet, share: float) -> SampleSet:
    """A share of all captions exchanged among each other, always the same ones.

    Which are, and whose each one gets, is by a hash of the sample's id and the caption's place,
    whatever the seed. The fingerprint stays that of the captions as they were given.

    Args:
        samples: whose targets are lists of captions.
        share: from 0 to 1.
    Raises: MMBenchError if the targets are no captions.
    """
    check_captions(samples, "data.noise exchanges captions")
    draws = {
        stable_number(f"noise/{sample.id}/{place}"): (row, place)
        for row, sample in enumerate(samples)
        for place in range(len(sample.target))
    }
    chosen = [draws[number] for number in sorted(draws) if number < share * 16**12]
    told = [list(sample.target) for sample in samples]
    for (row, place), (of, where) in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True):
        told[row][place] = samples[of].target[where]
    made = [replace(s, target=captions) for s, captions in zip(samples, told, strict=True)]
    return replace(samples, samples=made)


def check_captions(samples: Sequence[Any], who: str) -> None:
    """Raise MMBenchError if the targets of samples are no lists of captions.

    Args:
        who: needs them, for the error.
    """
    odd = next((s for s in samples if not _are_captions(s.target)), None)
    if odd is not None:
        raise MMBenchError(
            f"{who}, and the samples of this stage have none: name a dataset of captions and "
            "data.task: captioning, or leave it out"
        )


def _are_captions(target: Any) -> bool:
    return isinstance(target, list) and all(isinstance(text, str) for text in target)
